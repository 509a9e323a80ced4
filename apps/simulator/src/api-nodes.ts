// SPDX-License-Identifier: Apache-2.0
import type { IngestServiceClient } from "@waggle/proto";
import { connect } from "./connection.ts";

/** How long a connection stays with a node that fails before it tries the next one: all its hosts fail together. */
const SWITCH_MS_MIN = 1_000;

/** A connection to the API: at one of its nodes, and at the next one when that fails. Shared by some hosts of the fleet. */
export class ApiConnection {
  readonly #addresses: readonly string[];
  readonly #clients = new Map<string, IngestServiceClient>();
  #index: number;
  #switchedAtMs = 0;

  /** @param index spreads the connections over the nodes */
  constructor(addresses: readonly string[], index: number) {
    this.#addresses = addresses;
    this.#index = index % addresses.length;
  }

  get client(): IngestServiceClient {
    return this.#clientAt(this.#index);
  }

  /** Another node than the current one; undefined if there is none. */
  get otherClient(): IngestServiceClient | undefined {
    return this.#addresses.length < 2 ? undefined : this.#clientAt((this.#index + 1) % this.#addresses.length);
  }

  /** To be called when the node does not answer. */
  failed(client: IngestServiceClient): void {
    const nowMs = performance.now();
    if (client !== this.client || nowMs - this.#switchedAtMs < SWITCH_MS_MIN) return;
    this.#switchedAtMs = nowMs;
    this.#index = (this.#index + 1) % this.#addresses.length;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  #clientAt(index: number): IngestServiceClient {
    const address = this.#addresses[index] as string;
    let client = this.#clients.get(address);
    if (client === undefined) {
      client = connect(address);
      this.#clients.set(address, client);
    }
    return client;
  }
}
