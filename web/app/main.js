// Starts the page: first the city, then the socket, then the ride.

import { API, riderID } from './api.js';
import { byID } from './dom.js';

async function start() {
  const maplibre = await import('/lib/maplibre-gl.mjs').catch(() => null);
  if (!maplibre) {
    return stop('missing_library', 'The map library is missing', 'Run “make web” and build ridehail again; it fetches MapLibre GL into web/lib.');
  }
  const api = new API(riderID());
  try {
    await api.renew();
    const plan = await api.plan();
    const city = plan.tiles ? null : await api.city(plan);
    const { drawMap } = await import('./map.js');
    const map = await drawMap(maplibre, 'map', plan, city);
    const { Page } = await import('./page.js');
    window.ridehail = new Page(api, map, maplibre, city); // for tests and the curious; the page itself never reads it
  } catch (problem) {
    console.error(problem);
    const words = problem.code === 'no_such_endpoint' || problem.status === 404
      ? 'This server gives no development tokens. Start it with --dev-tokens, or run “ridehail demo”.' : problem.message;
    stop('failed', 'The map cannot be shown', words, true);
  }
}

function stop(state, title, words, retry = false) {
  document.body.dataset.state = state;
  const box = document.createElement('div');
  const head = document.createElement('h1');
  head.textContent = title;
  const text = document.createElement('p');
  text.textContent = words;
  box.append(head, text);
  if (retry) {
    const again = document.createElement('button');
    again.className = 'primary';
    again.textContent = 'Try again';
    again.onclick = () => location.reload();
    box.append(again);
  }
  byID('notice').replaceChildren(box);
  byID('notice').hidden = false;
}

start();
