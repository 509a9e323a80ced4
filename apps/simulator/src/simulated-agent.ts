// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import type { IngestServiceClient } from "@waggle/proto";
import { enrol, HostStream, RefusedError } from "./connection.ts";
import type { SimulatedHost } from "./fleet.ts";
import type { Ledger } from "./ledger.ts";
import { simulateWindow } from "./workload.ts";

/** Windows a host keeps while the API is away; the oldest goes first, and is reported. */
const PENDING_WINDOWS_MAX = 360;
/** Windows sent before the first of them is acknowledged. The API writes once a second: one by one, fifteen minutes of backfill would take ninety seconds. */
const IN_FLIGHT_MAX = 16;

/** One host of the fleet: makes its windows and sends each until it is acknowledged, over as many streams as that takes. */
export class SimulatedAgent {
  readonly #client: IngestServiceClient;
  readonly #token: string;
  readonly #host: SimulatedHost;
  readonly #seed: number;
  readonly #windowMs: number;
  readonly #ledger: Ledger;
  readonly #say: (line: string) => void;
  readonly #pending: number[] = [];
  #credential: string | undefined;
  #stream: HostStream | undefined;
  #draining: Promise<void> | undefined;
  #isAway = false;
  acknowledged = 0;
  dropped = 0;

  constructor(options: {
    client: IngestServiceClient;
    token: string;
    host: SimulatedHost;
    seed: number;
    windowMs: number;
    ledger: Ledger;
    say: (line: string) => void;
  }) {
    this.#client = options.client;
    this.#token = options.token;
    this.#host = options.host;
    this.#seed = options.seed;
    this.#windowMs = options.windowMs;
    this.#ledger = options.ledger;
    this.#say = options.say;
  }

  /** Takes the windows into account and sends what is pending. Never rejects: what failed is tried again with the next windows. */
  async windows(windowStartsMs: readonly number[]): Promise<void> {
    this.#pending.push(...windowStartsMs);
    while (this.#pending.length > PENDING_WINDOWS_MAX) {
      this.#pending.shift();
      this.dropped++;
    }
    this.#draining ??= this.#drain()
      .catch((error: Error) => {
        this.#stream = undefined;
        if ((error as { code?: number }).code === status.UNAUTHENTICATED) this.#credential = undefined;
        // One line per outage, not one per window.
        if (!this.#isAway) this.#say(`${this.#host.name}: ${error.message}`);
        this.#isAway = true;
      })
      .finally(() => {
        this.#draining = undefined;
      });
    await this.#draining;
  }

  close(): void {
    this.#stream?.close();
  }

  async #drain(): Promise<void> {
    this.#credential ??= await enrol(this.#client, this.#token, this.#host);
    if (this.#stream === undefined) {
      this.#stream = new HostStream(this.#client, this.#credential, this.#host, this.#windowMs);
      await this.#stream.ready;
    }
    while (this.#pending.length > 0) {
      const sent = this.#pending.slice(0, IN_FLIGHT_MAX);
      const stream = this.#stream;
      const outcomes = await Promise.allSettled(sent.map((windowStartMs) => this.#send(stream, windowStartMs)));
      const settled = new Set(sent.filter((_, index) => outcomes[index]?.status === "fulfilled"));
      for (let at = this.#pending.length - 1; at >= 0; at--) if (settled.has(this.#pending[at] as number)) this.#pending.splice(at, 1);
      const failures = outcomes.filter((outcome) => outcome.status === "rejected").map((outcome) => outcome.reason as Error);
      const broken = failures.find((error) => !(error instanceof RefusedError));
      if (broken !== undefined) throw broken;
      if (failures.length > 0) return;
    }
  }

  /** Resolves when the window is acknowledged or will never be. Rejects when it has to be sent again. */
  async #send(stream: HostStream, windowStartMs: number): Promise<void> {
    const rows = simulateWindow(this.#seed, this.#host, windowStartMs, this.#windowMs);
    try {
      await stream.send(windowStartMs, this.#windowMs, rows);
      this.#ledger.acknowledged(this.#host.name, windowStartMs, this.#windowMs, rows);
      this.acknowledged++;
      this.#isAway = false;
    } catch (error) {
      if (!(error instanceof RefusedError) || error.refusal.retry) throw error;
      this.#say(`${this.#host.name}: window refused: ${error.message}`);
      this.dropped++;
    }
  }
}
