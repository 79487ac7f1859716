// One trip as a tree of phases and hops.
export function createWaterfall(element, hooks) {
  void element; void hooks;
  return { show() {}, filterMechanism() {}, select() {} };
}
