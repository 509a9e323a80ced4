// SPDX-License-Identifier: Apache-2.0

/** A request that works as it stands, for a fleet with a host `web-1`. */
export interface OperationExample {
  readonly summary: string;
  /** By name; of the path, the query string or the header. */
  readonly parameters?: Readonly<Record<string, string | number>>;
  readonly body?: unknown;
}

/** Stands for a token of the reader's own. */
export const TOKEN_PLACEHOLDER = "wgl_adm_YourToken";

/** Examples of each operation by its id, by name. Each is in the document, and is sent to a real API by a test. */
export const operationExamples: Readonly<Record<string, Readonly<Record<string, OperationExample>>>> = {
  query: {
    percentiles: {
      summary: "Round trips of the web servers, by process, over the last hour",
      body: {
        signal: "tcp_rtt",
        select: [
          { measure: "rtt", aggregate: "p50" },
          { measure: "rtt", aggregate: "p99" },
        ],
        by: ["process"],
        where: "host:web-* -peer_port:443",
        from: "now-1h",
      },
    },
    worstHosts: {
      summary: "The ten hosts with the most retransmits, one number each",
      body: { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], by: ["host"], from: "now-15m", points: 1 },
    },
    heatMap: {
      summary: "Latency of system calls as a heat map, beside that of the hour before",
      body: { signal: "syscall_latency", select: [{ measure: "latency", aggregate: "heatmap" }], where: "host:web-1", compare: "prev" },
    },
  },
  latency: {
    byProcess: { summary: "Round trips by process", parameters: { by: "process", from: "now-15m", aggregate: "p50,p99" } },
    yesterday: { summary: "Beside the same hour of yesterday, a minute at a time", parameters: { from: "now-1h", step: "1m", compare: "1d" } },
  },
  retransmits: { byPeer: { summary: "Who is sent to again", parameters: { by: "peer", limit: "5" } } },
  syscalls: { byProcess: { summary: "Who calls the kernel", parameters: { by: "process", points: "1" } } },
  live: {
    watch: {
      summary: "Watch a host, a second at a time",
      parameters: { host: "web-1", signal: "tcp_retransmits", select: "segments:sum", by: "process" },
    },
  },
  listProcesses: {
    cpu: { summary: "Who used the CPUs" },
    compared: {
      summary: "Who read and wrote files, beside the hour before",
      parameters: { sort: "fileWritten", by: "process,host", compare: "prev" },
    },
  },
  getProfile: {
    tree: { summary: "Where nginx spends its time", parameters: { where: "process:nginx", from: "now-15m" } },
    pprof: { summary: "For `go tool pprof`", parameters: { from: "now-5m", format: "pprof" } },
  },
  listHosts: {
    first: { summary: "The first ten", parameters: { limit: 10 } },
    search: { summary: "Web servers, those that were seen last first", parameters: { q: "web", sort: "-lastSeenAt" } },
  },
  listDimensionValues: { processes: { summary: "Names of processes, for completion", parameters: { name: "process" } } },
  getHost: { byName: { summary: "By name", parameters: { idOrName: "web-1" } } },
  changeHost: { tags: { summary: "Tag a host", parameters: { idOrName: "web-1" }, body: { tags: { env: "prod", team: null } } } },
  getOrganisationSettings: { all: { summary: "What holds for all hosts" } },
  changeOrganisationSettings: { rows: { summary: "At most 2,000 rows of a signal and window", body: { rowsMax: 2_000 } } },
  getHostSettings: { one: { summary: "What holds for a host", parameters: { idOrName: "web-1" } } },
  changeHostSettings: {
    watch: {
      summary: "Windows of 5 s, and nginx always by itself",
      parameters: { idOrName: "web-1" },
      body: { windowMs: 5_000, watchedProcesses: ["nginx"] },
    },
  },
  listAudit: { ofHost: { summary: "What was changed for a host", parameters: { host: "web-1", limit: 20 } } },
  listSignals: { all: { summary: "The catalogue" } },
  getIngestLedger: { problems: { summary: "Hours in which something is missing", parameters: { from: "now-24h", problems: "true" } } },
  getStorage: { all: { summary: "Disks, levels and tables" } },
  getLimits: { all: { summary: "Limits and use" } },
  createSession: { token: { summary: "Sign in", body: { token: TOKEN_PLACEHOLDER } } },
  getSession: { who: { summary: "Who is signed in" } },
  deleteSession: { out: { summary: "Sign out" } },
  getOpenApi: { all: { summary: "This document" } },
};

interface Operation {
  readonly operationId?: string;
  readonly parameters?: { readonly name: string; readonly in: string; examples?: Record<string, { value: string | number }> }[];
  readonly summary?: string;
  readonly requestBody?: { readonly content: Record<string, { example?: unknown; examples?: Record<string, { summary: string; value: unknown }> }> };
  "x-codeSamples"?: { readonly lang: string; readonly label: string; readonly source: string }[];
}

/** An operation that needs nothing, or whose body has an example where it is described, is one by itself. */
function examplesOf({ operationId = "", summary = "", parameters = [], requestBody }: Operation): [name: string, example: OperationExample][] {
  const own = operationExamples[operationId];
  if (own !== undefined) return Object.entries(own);
  const content = requestBody?.content["application/json"];
  if (parameters.some(({ in: place }) => place === "path") || (requestBody !== undefined && content?.example === undefined)) return [];
  return [["example", { summary, ...(content === undefined ? {} : { body: content.example }) }]];
}

/** Puts the examples where OpenAPI wants them, and a command line of each beside. */
export function addExamples(document: { readonly paths?: object }): void {
  for (const [path, methods] of Object.entries(document.paths ?? {}) as [string, Record<string, Operation>][]) {
    for (const [method, operation] of Object.entries(methods)) {
      const examples = examplesOf(operation);
      for (const [name, { summary, parameters = {}, body }] of examples) {
        for (const parameter of operation.parameters ?? []) {
          const value = parameters[parameter.name];
          if (value !== undefined) parameter.examples = { ...parameter.examples, [name]: { value } };
        }
        const content = operation.requestBody?.content["application/json"];
        if (content === undefined || body === undefined) continue;
        // A document has the one or the others.
        delete content.example;
        content.examples = { ...content.examples, [name]: { summary, value: body } };
      }
      if (examples.length > 0)
        operation["x-codeSamples"] = examples.map(([label, example]) => ({ lang: "Shell", label, source: toCurl(method, path, operation, example) }));
    }
  }
}

/** Path and query string of an example. */
export function toAddress(path: string, operation: Pick<Operation, "parameters">, { parameters = {} }: OperationExample): string {
  const places = new Map(operation.parameters?.map((parameter) => [parameter.name, parameter.in]));
  const query = new URLSearchParams();
  let address = path;
  for (const [name, value] of Object.entries(parameters)) {
    if (places.get(name) === "path") address = address.replace(`{${name}}`, encodeURIComponent(String(value)));
    else if (places.get(name) === "query") query.set(name, String(value));
    else throw new TypeError(`${path} has no parameter ${name}`);
  }
  return query.size === 0 ? address : `${address}?${query}`;
}

function toCurl(method: string, path: string, operation: Operation, example: OperationExample): string {
  const parts = [`curl -sS${method === "get" ? "" : ` -X ${method.toUpperCase()}`}`, '-H "Authorization: Bearer $WAGGLE_TOKEN"'];
  if (example.body !== undefined) parts.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(example.body)}'`);
  return [...parts, `"$WAGGLE_URL/api/v1${toAddress(path, operation, example)}"`].join(" ");
}
