// SPDX-License-Identifier: Apache-2.0

/** Of the API's own, none of which may be told to whoever sent something wrong. */
export const INSIDE = /node_modules|\bat \S+:\d+|ClickHouse|DB::Exception|Failed query|postgres|drizzle/i;

const STATEMENT = "'; DROP TABLE hosts; --";

/** For parameters of an address. */
export const hostileTexts: readonly string[] = [
  "",
  STATEMENT,
  "\u0001\u001b[2J",
  "__proto__",
  "NaN",
  "1e308",
  "-1",
  "99999999999999999999",
  "+300000-01-01T00:00:00Z",
  "(".repeat(1_000),
  "*:*,*".repeat(300),
  "\\'\"`{p0:String}%",
  "tag.constructor",
];

/** For fields of a body, as JSON. */
export const hostileValues: readonly string[] = [
  "null",
  "-1",
  "1e400",
  "[]",
  "{}",
  '{"constructor":{"prototype":{"a":1}}}',
  `${"[".repeat(500)}${"]".repeat(500)}`,
  JSON.stringify(STATEMENT),
  '"\\u0000\\u001b"',
  '"\\ud800"',
  '["\\ud800","\\u0000"]',
  JSON.stringify("x".repeat(30_000)),
  JSON.stringify(Array.from({ length: 500 }, () => STATEMENT)),
];

/** By status. */
type Responses = Readonly<Record<string, { readonly description: string }>>;
interface SweptOperation {
  readonly responses: Responses;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly examples?: Readonly<Record<string, { readonly value: unknown }>> }>>;
  };
}
export interface SweptDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, SweptOperation>>>>;
}

export interface HostileRequest {
  readonly what: string;
  /** Below the prefix. */
  readonly path: string;
  readonly method: string;
  /** JSON. */
  readonly body?: string;
  /** What the document says may come. */
  readonly responses: Responses;
}

/** Each parameter and each field of a body of each operation, with each of what does not belong there; the rest of the request is right. */
export function hostileRequests({ paths }: SweptDocument): HostileRequest[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      requestsOf(path, method.toUpperCase(), operation).map((request) => ({ ...request, responses: operation.responses })),
    ),
  );
}

function requestsOf(path: string, method: string, { parameters = [], requestBody }: SweptOperation): Omit<HostileRequest, "responses">[] {
  const example = Object.values(requestBody?.content["application/json"]?.examples ?? {})[0]?.value ?? {};
  const body = requestBody === undefined ? {} : { body: JSON.stringify(example) };
  const address = (name?: string, value = ""): string =>
    path.replace(/\{(\w+)\}/g, (_, one: string) => encodeURIComponent(one === name ? value : one === "idOrName" ? "web-1" : "process"));
  const inAddress = parameters
    .filter(({ in: place }) => place !== "header")
    .flatMap(({ name, in: place }) => [
      ...hostileTexts.map((value) => ({
        what: `${method} ${path} ${name}=${value.slice(0, 20)}`,
        path: place === "path" ? address(name, value) : `${address()}?${new URLSearchParams([[name, value]])}`,
        method,
        ...body,
      })),
      ...(place === "query" ? [{ what: `${method} ${path} ${name} twice`, path: `${address()}?${name}=1&${name}=now`, method, ...body }] : []),
    ]);
  if (requestBody === undefined) return inAddress;
  const inBody = Object.keys(example as object).flatMap((field) =>
    hostileValues.map((value) => ({
      what: `${method} ${path} ${field}: ${value.slice(0, 20)}`,
      path: address(),
      method,
      body: withField(example, field, value),
    })),
  );
  return [...inAddress, ...inBody];
}

/** A body with the JSON text `value` for one of its fields. */
function withField(body: unknown, field: string, value: string): string {
  const others = Object.entries(body as object).filter(([name]) => name !== field);
  const parts = [...others.map(([name, one]) => `${JSON.stringify(name)}:${JSON.stringify(one)}`), `${JSON.stringify(field)}:${value}`];
  return `{${parts.join(",")}}`;
}
