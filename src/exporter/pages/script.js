'use strict';
// Keeps what runs moving and the page young. Everything is there without it.
(() => {
  const POLL = 2000;
  const WHOLE = 60000;
  const { api, source: only } = document.body.dataset;
  const byId = (id) => document.getElementById(id);
  let renewed = Date.now();

  const duration = (seconds) => {
    const s = Math.max(0, Math.floor(seconds));
    const two = (a, x, b, y) => (b ? `${a}${x} ${b}${y}` : `${a}${x}`);
    if (s < 60) return `${s} s`;
    if (s < 3600) return two(Math.floor(s / 60), 'm', s % 60, 's');
    if (s < 172800) return two(Math.floor(s / 3600), 'h', Math.floor(s / 60) % 60, 'm');
    return two(Math.floor(s / 86400), 'd', Math.floor(s / 3600) % 24, 'h');
  };
  const size = (bytes) => {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
    let at = 0;
    let left = bytes;
    while (left >= 1024 && at < units.length - 1) { left /= 1024; at += 1; }
    return `${at ? left.toFixed(1) : left} ${units[at]}`;
  };
  const percent = (ratio) => `${(Math.floor(ratio * 1000) / 10).toFixed(ratio === 1 ? 0 : 1)} %`;

  const estimate = (run) => {
    const last = run.last_duration_seconds;
    if (last === null) return '';
    const left = last - run.elapsed_seconds;
    return left >= 0
      ? `about ${duration(left + 1)} left (the last one took ${duration(last)})`
      : `longer than the last one, which took ${duration(last)}`;
  };
  const bytes = (run) => {
    if (run.done_bytes === null) return '';
    if (run.total_bytes !== null) return `${size(run.done_bytes)} of about ${size(run.total_bytes)}`;
    return run.done_bytes ? size(run.done_bytes) : '';
  };
  const show = (row, run) => {
    const field = (name, text) => { row.querySelector(`[data-field=${name}]`).textContent = text; };
    field('phase', run.phase ?? '');
    field('ratio', run.ratio === null ? '' : percent(run.ratio));
    field('bytes', bytes(run));
    field('elapsed', duration(run.elapsed_seconds));
    field('estimate', estimate(run));
    const bar = row.querySelector('progress');
    if (run.ratio === null) bar.removeAttribute('value'); else bar.value = run.ratio;
  };

  // A page must not change under somebody's hands.
  const isInUse = () => byId('main').contains(document.activeElement) && document.activeElement !== byId('main')
    || !document.getSelection().isCollapsed;
  const renew = async () => {
    const answer = await fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const fresh = page.getElementById('main');
    if (!fresh) throw new Error(`HTTP ${answer.status}`);
    const old = byId('main');
    for (const one of old.querySelectorAll('details[open][id]')) fresh.querySelector(`#${CSS.escape(one.id)}`)?.setAttribute('open', '');
    old.replaceWith(fresh);
    renewed = Date.now();
    byId('updated').replaceWith(page.getElementById('updated'));
    news('');
    addCopyButtons();
  };
  const news = (text) => {
    const place = byId('news');
    if (place.dataset.text === text) return;
    place.dataset.text = text;
    place.textContent = text;
    place.hidden = !text;
  };

  const poll = async () => {
    const answer = await fetch(api, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
    if (!answer.ok && answer.status !== 503) throw new Error(`HTTP ${answer.status}`);
    const status = await answer.json();
    const runs = new Map();
    for (const source of status.sources) {
      if (only !== undefined && source.source !== only) continue;
      for (const run of source.progress) {
        const kind = run.kind === 'incremental' ? 'incremental ' : '';
        runs.set(`${source.source} ${kind}${run.operation}`, run);
      }
    }
    const rows = [...document.querySelectorAll('[data-run]')];
    const most = Number(document.querySelector('[data-most]')?.dataset.most ?? Infinity);
    const isSame = rows.length === Math.min(runs.size, most) && rows.every((row) => runs.has(row.dataset.run));
    if (!isSame || Date.now() - renewed > WHOLE) {
      if (isInUse()) { if (!isSame) news('Something began or ended: reload the page to see it.'); } else await renew();
    }
    for (const row of document.querySelectorAll('[data-run]')) {
      const run = runs.get(row.dataset.run);
      if (run) show(row, run);
    }
    // What runs is as young as this answer; the rest is as old as the header says.
    const isHeld = Date.now() - renewed > 2 * WHOLE;
    byId('live').textContent = isHeld ? ' · not renewed while something on the page is in use' : ' · live';
    document.body.classList.toggle('stale', isHeld);
  };
  const keepPolling = async () => {
    if (!document.hidden) {
      try { await poll(); } catch (error) {
        byId('live').textContent = ` · no answer: ${error.message}`;
        document.body.classList.add('stale');
      }
    }
    setTimeout(keepPolling, POLL);
  };

  const copy = async (button, code) => {
    const range = document.createRange();
    range.selectNodeContents(code);
    document.getSelection().removeAllRanges();
    document.getSelection().addRange(range);
    try {
      await navigator.clipboard.writeText(code.textContent);
      document.getSelection().removeAllRanges();
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Selected: press Ctrl+C';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 3000);
  };
  const addCopyButtons = () => {
    for (const block of document.querySelectorAll('.command')) {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = 'Copy';
      button.addEventListener('click', () => copy(button, block.querySelector('code')));
      block.append(button);
    }
  };
  addCopyButtons();
  setTimeout(keepPolling, POLL);
})();
