// SPDX-License-Identifier: Apache-2.0
import type { HostClock } from "./clock.ts";
import { ContainerStores, type Found, NAMES_DENIED } from "./container-stores.ts";
import type { Container } from "./unit-path.ts";

export interface ContainerNamesOptions {
  readonly hostRoot: string;
  readonly clock: Pick<HostClock, "elapsedMs">;
  /** Containers and pods remembered; beyond it the one asked for first goes. */
  readonly entriesMax?: number;
}

/** A name that is not there is looked for again after this, then after twice as long each time: kubelet and runtimes write some a moment after the start. */
const RETRY_MS = 10_000;
const RETRY_MS_MAX = 600_000;

/** Looked up between two windows: each opens a file or a few, and a window must not wait for hundreds. The others follow in the next ones. */
const LOOKUPS_PER_WINDOW = 64;

interface Entry {
  readonly container: Container;
  /** As it is called now. */
  unit: string;
  /** undefined: not looked for yet. */
  found: Found | undefined;
  retryMs: number;
  retryAtMs: number;
}

/**
 * What people call containers and pods, out of what runtimes and kubelet keep on the host's disk. A name is looked up once and then kept; while there is none, the ids
 * stand for it, and nothing is ever guessed.
 */
export class ContainerNames {
  readonly #clock: Pick<HostClock, "elapsedMs">;
  readonly #stores: ContainerStores;
  readonly #entriesMax: number;
  readonly #entries = new Map<string, Entry>();
  #lookups = 0;

  constructor({ hostRoot, clock, entriesMax = 4_096 }: ContainerNamesOptions) {
    this.#clock = clock;
    this.#stores = new ContainerStores(hostRoot);
    this.#entriesMax = entriesMax;
  }

  /** `docker/web`, `k8s/<namespace>/<pod>/<container>`; as long as the name is not known, `container.unit`. */
  unitOf(container: Container): string {
    if (container.id === undefined && container.pod === undefined) return container.unit;
    let entry = this.#entries.get(container.unit);
    if (entry === undefined) {
      entry = { container, unit: container.unit, found: undefined, retryMs: RETRY_MS, retryAtMs: 0 };
      this.#entries.set(container.unit, entry);
      if (this.#entries.size > this.#entriesMax) this.#entries.delete(this.#entries.keys().next().value as string);
      this.#lookUp(entry);
    }
    return entry.unit;
  }

  /** What has been found since the last call: what it was called until now, and what it is called from here on. Once per window. */
  renames(): ReadonlyMap<string, string> {
    this.#lookups = 0;
    const renames = new Map<string, string>();
    for (const entry of this.#entries.values()) {
      if (entry.found?.state === "named" || this.#clock.elapsedMs() < entry.retryAtMs) continue;
      const before = entry.unit;
      this.#lookUp(entry);
      if (entry.unit !== before) renames.set(before, entry.unit);
    }
    return renames;
  }

  /**
   * Whether names can be read, by fact: `container_names:docker` is `readable`, or what it would take. Of runtimes whose files are on this host, and of those
   * whose containers were seen.
   */
  facts(): ReadonlyMap<string, string> {
    const facts = new Map(this.#stores.access());
    for (const { container, found } of this.#entries.values()) {
      if (found?.state === "denied") facts.set(container.runtime, NAMES_DENIED);
      else if (found?.state === "missing" && !facts.has(container.runtime))
        facts.set(container.runtime, "not found where its runtime keeps them by default");
    }
    return new Map([...facts].map(([runtime, state]) => [`container_names:${runtime}`, state]));
  }

  #lookUp(entry: Entry): void {
    if (this.#lookups >= LOOKUPS_PER_WINDOW) return;
    this.#lookups++;
    entry.found = this.#stores.find(entry.container);
    entry.unit = entry.found.unit ?? entry.unit;
    entry.retryAtMs = this.#clock.elapsedMs() + entry.retryMs;
    entry.retryMs = Math.min(RETRY_MS_MAX, 2 * entry.retryMs);
  }
}
