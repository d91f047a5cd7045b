// Which page is shown: the path below <base>, kept in the address bar.

function current(): { path: string; search: string; hash: string } {
  const base = new URL(document.baseURI).pathname;
  const path = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : location.pathname;
  return { path: path.replace(/^\/+|\/+$/g, ''), search: location.search, hash: location.hash };
}

export const route = $state(current());

function refresh(): void {
  Object.assign(route, current());
}

addEventListener('popstate', refresh);
addEventListener('hashchange', refresh);

/** Goes to a page: `alerts`, `graph?g0.expr=up`. */
export function go(to: string, replace = false): void {
  const url = new URL(to, document.baseURI);
  if (replace) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
  refresh();
}

/** For links: stays in the page unless a new tab is asked for. */
export function follow(event: MouseEvent): void {
  const link = (event.currentTarget as HTMLElement | null)?.getAttribute('href');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(link);
}
