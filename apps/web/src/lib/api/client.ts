// SPDX-License-Identifier: Apache-2.0
import type { Host, HostList, Problem, QueryAnswer, QueryBody, Session, Signal } from "./types";

/** An answer that is not 2xx, or none at all. Carries the API's problem so that a panel can show title, request id and fix. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.title);
    this.problem = problem;
  }
}

/** Server time minus this machine's time, in ms, from the last answer. A browser's clock may be minutes off; ranges must not be. */
let clockOffsetMs = 0;

/** The server's idea of now, epoch ms. */
export function serverNow(): number {
  return Date.now() + clockOffsetMs;
}

function noteServerClock(response: Response): void {
  const date = response.headers.get("date");
  if (date === null) return;
  const offset = Date.parse(date) - Date.now();
  // The header has whole seconds and the answer travelled: less than 2 s says nothing.
  clockOffsetMs = Number.isFinite(offset) && Math.abs(offset) > 2000 ? offset : 0;
}

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "title" in value && "status" in value;
}

async function request(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, { ...init, credentials: "same-origin", cache: "no-store" });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError({
      type: "about:blank",
      title: "The server could not be reached",
      status: 0,
      detail: "The browser got no answer. Is `./waggle up` still running?",
      code: "UNREACHABLE",
      requestId: "",
      retryable: true,
    });
  }
  noteServerClock(response);
  if (response.ok) return response;
  const body: unknown = await response.json().catch(() => null);
  throw new ApiError(
    isProblem(body)
      ? { ...body, requestId: body.requestId ?? response.headers.get("x-request-id") ?? "" }
      : {
          type: "about:blank",
          title: response.status >= 500 ? "The API did not answer" : `The API answered ${response.status}`,
          status: response.status,
          detail: response.status >= 500 ? "The web server is up, the API behind it is not reachable or failed." : response.statusText,
          code: "UNEXPECTED_ANSWER",
          requestId: response.headers.get("x-request-id") ?? "",
          retryable: response.status >= 500,
        },
  );
}

const json = { "content-type": "application/json" };

export async function signIn(token: string): Promise<Session> {
  const response = await request("/session", { method: "POST", headers: json, body: JSON.stringify({ token }) });
  return (await response.json()) as Session;
}

export async function signOut(): Promise<void> {
  await request("/session", { method: "DELETE" });
}

export async function fetchSession(signal?: AbortSignal): Promise<Session> {
  const response = await request("/session", { signal: signal ?? null });
  return (await response.json()) as Session;
}

/** All hosts: as many pages as there are. */
export async function fetchHosts(signal?: AbortSignal): Promise<readonly Host[]> {
  const hosts: Host[] = [];
  for (let next: string | null | undefined = ""; next !== null && next !== undefined; ) {
    const path = next === "" ? "/hosts?limit=1000" : `/hosts?limit=1000&cursor=${encodeURIComponent(next)}`;
    const list = (await (await request(path, { signal: signal ?? null })).json()) as HostList;
    hosts.push(...list.data);
    next = list.page.next;
  }
  return hosts;
}

export async function fetchHost(idOrName: string, signal?: AbortSignal): Promise<Host> {
  const response = await request(`/hosts/${encodeURIComponent(idOrName)}`, { signal: signal ?? null });
  return (await response.json()) as Host;
}

export async function runQuery(body: QueryBody, signal?: AbortSignal): Promise<QueryAnswer> {
  const response = await request("/query", { method: "POST", headers: json, body: JSON.stringify(body), signal: signal ?? null });
  return (await response.json()) as QueryAnswer;
}

/** The same call for a terminal. The token is read from the environment so that it never lands in shell history. */
export function asCurl(body: QueryBody, origin: string): string {
  return [
    `curl -sS ${origin}/api/v1/query`,
    `  -H "authorization: Bearer $WAGGLE_TOKEN"`,
    `  -H 'content-type: application/json'`,
    `  --data '${JSON.stringify(body).replaceAll("'", "'\\''")}'`,
  ].join(" \\\n");
}

export async function fetchSignals(signal?: AbortSignal): Promise<readonly Signal[]> {
  const response = await request("/signals", { signal: signal ?? null });
  return ((await response.json()) as { data: readonly Signal[] }).data;
}
