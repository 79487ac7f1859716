// Starts the page: the live map above, one trip below.
import { byID } from '../../app/dom.js';
import { createLineMap } from './linemap.js';
import { createWaterfall } from './waterfall.js';

const waterfall = createWaterfall(byID('trip'), { onRow: (hop) => map.highlight(hop) });
const map = createLineMap(byID('map'), {
  onHop: () => {},
  onLegend: (mechanism) => waterfall.filterMechanism(mechanism),
});
