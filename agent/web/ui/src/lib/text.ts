// Labels, times and durations as people and Prometheus write them.
import type { Labels, Matcher } from './api';

export function seriesName(metric: Labels): string {
  const { __name__: name = '', ...rest } = metric;
  const pairs = Object.entries(rest).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return pairs.length === 0 && name !== '' ? name : `${name}{${pairs.join(', ')}}`;
}

const units: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };

/** Seconds of `1h30m`; NaN when it is no duration. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+)(ms|[smhdwy])/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== text.trim()) return NaN;
  return parts.reduce((sum, part) => sum + Number(part[1]) * (units[part[2] ?? ''] ?? NaN), 0);
}

export function formatDuration(seconds: number): string {
  let left = Math.round(seconds);
  let out = '';
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = units[unit] ?? 1;
    const count = Math.floor(left / size);
    if (count > 0) out += `${count}${unit}`;
    left -= count * size;
  }
  return out === '' ? '0s' : out;
}

export function formatTime(text: string): string {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) || time.getUTCFullYear() < 1971 ? 'never' : time.toLocaleString();
}

export function formatMatcher(matcher: Matcher): string {
  const operator = matcher.isRegex ? (matcher.isEqual ? '=~' : '!~') : matcher.isEqual ? '=' : '!=';
  return `${matcher.name}${operator}${JSON.stringify(matcher.value)}`;
}

/** Reads `a="b", c=~"d.*"`; throws with what is wrong. */
export function parseMatchers(text: string): Matcher[] {
  const matchers: Matcher[] = [];
  let rest = text.trim().replace(/^\{/, '').replace(/\}$/, '').trim();
  while (rest !== '') {
    const found = /^([^\s=!~,"]+)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,\s*|$)/.exec(rest);
    if (!found) throw new Error(`no matcher: ${rest} (write name="value", name=~"regex", separated by commas)`);
    const [whole, name = '', operator = '=', quoted, bare = ''] = found;
    const value = quoted === undefined ? bare : (JSON.parse(`"${quoted}"`) as string);
    matchers.push({ name, value, isRegex: operator.includes('~'), isEqual: operator.startsWith('=') });
    rest = rest.slice(whole.length).trim();
  }
  return matchers;
}
