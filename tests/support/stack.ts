// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const root = resolve(import.meta.dirname, "../..");

/** What a test needs to know of a running stack; plain data, so that it passes between vitest's processes. */
export interface StackAddress {
  readonly dataDirectory: string;
  readonly webUrl: string;
  readonly restUrl: string;
  readonly ingestAddress: string;
  readonly upPid: number;
}

export interface Series {
  readonly measure: string;
  readonly aggregate: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly values: readonly (number | null)[];
}

export interface Answer {
  readonly meta: {
    readonly from: string;
    readonly to: string;
    readonly stepSeconds: number;
    readonly coverage: { hosts: number; reporting: number };
  };
  readonly series: readonly Series[];
}

/** Starts `./waggle up` on a data directory and ports of its own; resolves when it says `ready`. */
export async function startStack(...words: string[]): Promise<{ address: StackAddress; stop: () => Promise<number | null> }> {
  const dataDirectory = mkdtempSync(join(tmpdir(), "waggle-e2e-"));
  const base = await freePortBase();
  const child = spawn(join(root, "waggle"), ["up", "--data", dataDirectory, "--port-base", String(base), ...words], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  await outputMatching(child, /^ready /m, 180_000);
  const address: StackAddress = {
    dataDirectory,
    webUrl: `http://127.0.0.1:${base}`,
    restUrl: `http://127.0.0.1:${base + 1}`,
    ingestAddress: `127.0.0.1:${base + 2}`,
    upPid: child.pid as number,
  };
  return {
    address,
    stop: async () => {
      child.kill("SIGINT");
      const [code] = (await once(child, "exit")) as [number | null];
      rmSync(dataDirectory, { recursive: true, force: true });
      return code;
    },
  };
}

/** Resolves when the process printed the pattern; rejects with all it said when it ends or takes too long. */
async function outputMatching(child: ChildProcess, pattern: RegExp, timeoutMs: number): Promise<void> {
  let said = "";
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${pattern} after ${timeoutMs / 1000} s:\n${said}`)), timeoutMs);
    const hear = (chunk: Uint8Array): void => {
      said += chunk.toString();
      if (pattern.test(said)) {
        clearTimeout(timer);
        resolve();
      }
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    child.once("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(`./waggle up ended with ${code}:\n${said}`));
    });
  });
}

async function freePortBase(): Promise<number> {
  for (let base = 17_300 + (process.pid % 100) * 10; base < 30_000; base += 10) {
    const free = await Promise.all([0, 1, 2, 3].map((offset) => isFree(base + offset)));
    if (free.every(Boolean)) return base;
  }
  throw new Error("no four free ports in a row");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** The REST API as a client with the admin token sees it. */
export class Client {
  readonly #address: StackAddress;
  readonly token: string;

  constructor(address: StackAddress) {
    this.#address = address;
    this.token = readFileSync(join(address.dataDirectory, "admin-token"), "utf8").trim();
  }

  async request(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.#address.restUrl}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json", ...init.headers },
    });
  }

  /** Comes again when it is told to, as the stack is others' too. */
  async query(query: Record<string, unknown>, patienceMs = 40_000): Promise<Answer> {
    const deadline = performance.now() + patienceMs;
    let response = await this.request("/api/v1/query", { method: "POST", body: JSON.stringify(query) });
    while (response.status === 503 && performance.now() < deadline) {
      await sleep(1_000 * Number(response.headers.get("retry-after") ?? 1));
      response = await this.request("/api/v1/query", { method: "POST", body: JSON.stringify(query) });
    }
    if (!response.ok) throw new Error(`query answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as Answer;
  }

  /** Sum of one measure over a range, all series together; 0 when nothing was counted. */
  async sum(signal: string, measure: string, where: string, from: Date): Promise<number> {
    const select = [{ measure, aggregate: "sum" }];
    const answer = await this.query({ signal, select, where, from: from.toISOString(), to: "now", points: 1 });
    return answer.series.reduce((total, series) => total + (series.values[0] ?? 0), 0);
  }

  /** Asks again until the answer holds or the time is over; returns the last answer either way, for the assertion to show. */
  async eventually<T>(ask: () => Promise<T>, holds: (answer: T) => boolean, timeoutMs = 40_000): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const answer = await ask();
      if (holds(answer) || performance.now() > deadline) return answer;
      await sleep(500);
    }
  }
}
