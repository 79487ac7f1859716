// Figures in words for people. Pure.

const SYMBOLS = { NGN: '₦', USD: '$', EUR: '€', GBP: '£', GHS: 'GH₵', KES: 'KSh ', ZAR: 'R' };

/** {minor, currency} as a price; whole amounts without the fraction. */
export function money(m) {
  if (!m?.currency) return '';
  const minor = m.minor ?? 0;
  const whole = Math.trunc(minor / 100).toLocaleString('en');
  const rest = minor % 100;
  const symbol = SYMBOLS[m.currency] ?? m.currency + ' ';
  return symbol + whole + (rest ? '.' + String(rest).padStart(2, '0') : '');
}

export function distance(metres) {
  if (metres < 950) return `${Math.max(10, Math.round(metres / 10) * 10)} m`;
  return `${(metres / 1000).toFixed(metres < 9950 ? 1 : 0)} km`;
}

export function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return 'under 1 min';
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A countdown: seconds in the last minute and a half, then minutes. */
export function countdown(seconds) {
  const s = Math.max(0, Math.round(seconds));
  return s < 90 ? `${Math.max(5, Math.round(s / 5) * 5)} s` : `${Math.round(s / 60)} min`;
}

/** What is left, as on a clock: 1:58. */
export function clock(seconds) {
  const s = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`;
}

export function ago(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  return `${Math.round(seconds / 60)} min ago`;
}

export function clockTime(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}

export function ms(x) {
  return x < 10 ? x.toFixed(1) : String(Math.round(x));
}
