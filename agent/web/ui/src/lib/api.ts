// Calls to the server that this page came from, and the shapes of its answers.

export type Labels = Record<string, string>;
export type Point = [number, string];
export type SeriesResult = { metric: Labels; value?: Point; values?: Point[] };
export type QueryData = { resultType: 'vector' | 'matrix' | 'scalar' | 'string'; result: SeriesResult[] | Point };
export type Answer<T> = { data: T; warnings: string[]; infos: string[] };

export type Target = {
  labels: Labels;
  scrapePool: string;
  scrapeUrl: string;
  lastError: string;
  lastScrape: string;
  lastScrapeDuration: number;
  health: string;
};

export type RuleAlert = { labels: Labels; annotations: Labels; state: string; activeAt: string; value: string };
export type Rule = {
  type: string;
  name: string;
  query: string;
  state?: string;
  health: string;
  lastError?: string;
  labels: Labels;
  annotations?: Labels;
  alerts?: RuleAlert[];
};
export type RuleGroup = { name: string; file: string; interval: number; rules: Rule[] };

export type Alert = {
  labels: Labels;
  annotations: Labels;
  fingerprint: string;
  startsAt: string;
  generatorURL?: string;
  status: { state: string; silencedBy: string[]; inhibitedBy: string[] };
};
export type AlertGroup = { labels: Labels; receiver: { name: string }; alerts: Alert[] };
export type Matcher = { name: string; value: string; isRegex: boolean; isEqual: boolean };
export type Silence = {
  id: string;
  matchers: Matcher[];
  startsAt: string;
  endsAt: string;
  createdBy: string;
  comment: string;
  status: { state: string };
};

export type Shell = { binary: 'agent' | 'federation'; pages: string[] };
export type ClusterNode = {
  id: number;
  name: string;
  address: string;
  leader: boolean;
  witness: boolean;
  voter: boolean;
  reachable: boolean;
};
export type Cluster = {
  node: string;
  term?: number;
  changing?: boolean;
  leader?: string;
  nodes?: ClusterNode[];
  twin?: { name: string; heard: boolean; sameConfig: boolean };
  agents?: { name: string; labels: Labels; connected: boolean; address: string; silentSeconds: number | null }[];
  uplinks?: { endpoint: string; name: string; connected: boolean; lagFrames: number; lastError: string }[];
};

/** An answer that says what went wrong in the server's own words. */
export class ApiError extends Error {}

async function request(path: string, init?: RequestInit): Promise<unknown> {
  // Relative to <base>: the server decides under which prefix it is reached.
  const response = await fetch(path, { headers: { accept: 'application/json' }, ...init });
  const text = await response.text();
  let body: unknown = null;
  try {
    body = text === '' ? null : JSON.parse(text);
  } catch {
    throw new ApiError(`${response.status} ${response.statusText}: ${text.slice(0, 300)}`);
  }
  if (!response.ok) {
    const said = body as { error?: string; message?: string } | string | null;
    const error = typeof said === 'string' ? said : (said?.error ?? said?.message);
    throw new ApiError(error ?? `${response.status} ${response.statusText}`);
  }
  return body;
}

/** A call of Prometheus's API v1. */
export async function v1<T>(path: string, parameters: Record<string, string> = {}, signal?: AbortSignal): Promise<Answer<T>> {
  const query = new URLSearchParams(parameters).toString();
  const body = (await request(`api/v1/${path}${query === '' ? '' : `?${query}`}`, { signal: signal ?? null })) as {
    data: T;
    warnings?: string[];
    infos?: string[];
  };
  return { data: body.data, warnings: body.warnings ?? [], infos: body.infos ?? [] };
}

/** A call of Alertmanager's API v2. */
export async function v2<T>(path: string, method = 'GET', body?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'content-type': 'application/json', accept: 'application/json' };
  }
  return (await request(`api/v2/${path}`, init)) as T;
}

/** What this server is and which pages it has. */
export async function shell(): Promise<Shell> {
  return (await request('vedette/ui.json')) as Shell;
}

/** Nodes, agents and links as this server sees them. */
export async function cluster(): Promise<Cluster> {
  return (await request('vedette/cluster.json')) as Cluster;
}
