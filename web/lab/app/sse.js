// Server-Sent Events from a stream of text. EventSource would ask again by
// itself when a run ends, and cannot send what to run.

/** Returns a function that takes pieces of text and returns whole events. */
export function eventReader() {
  let rest = '';
  return (piece) => {
    rest += piece;
    const blocks = rest.split('\n\n');
    rest = blocks.pop();
    return blocks.map(readBlock).filter((e) => e.data !== '');
  };
}

function readBlock(block) {
  const event = { name: 'message', data: '' };
  for (const line of block.split('\n')) {
    const [field, value] = splitField(line);
    if (field === 'event') event.name = value;
    if (field === 'data') event.data += (event.data && '\n') + value;
  }
  return event;
}

function splitField(line) {
  const at = line.indexOf(':');
  if (at <= 0) return ['', ''];
  return [line.slice(0, at), line.slice(at + 1).replace(/^ /, '')];
}
