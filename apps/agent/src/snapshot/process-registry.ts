// SPDX-License-Identifier: Apache-2.0
import type { StructLayout } from "../libbpf/btf.ts";
import { textOf } from "./c-text.ts";
import { halvesOf, IdMap } from "./id-map.ts";
import { fieldOf } from "./layout.ts";

/** A process as the kernel side knows it: the name of the thread-group leader in a control group. */
export interface ProcessIdentity {
  readonly processId: bigint;
  readonly comm: string;
  /** Its group in the hierarchy of version 2. */
  readonly cgroupId: bigint;
  /** Its groups in the hierarchies of version 1 that the kernel side looks at; 0 where there is none. */
  readonly v1GroupIds: readonly bigint[];
  /** A thread group that had this identity when it was first seen. */
  readonly tgid: number;
}

/** A control group that was made in the window; it may be gone by now. */
export interface MadeGroup {
  /** 0: version 2; n: the n-th of `ProcessIdentity.v1GroupIds`. */
  readonly hierarchy: number;
  readonly id: bigint;
  /** From the hierarchy's root. */
  readonly path: string;
}

export interface NameResolver {
  /** systemd unit, container or control group path of a process; empty in the root group. Undefined: not known, but may be in one of the next windows. */
  unitOf(process: ProcessIdentity): string | undefined;
  /** Told before the processes that were in it are asked for. */
  addGroup?(group: MadeGroup): void;
  /** Units that are called otherwise since the last call, by what they were called. Asked once per window. */
  renames?(): ReadonlyMap<string, string>;
}

/** What is shown of a process; two ids with the same names are one entry. */
export interface ProcessName {
  readonly index: number;
  readonly process: string;
  readonly unit: string;
}

interface Entry {
  name: ProcessName;
  lastWindow: number;
}

/** Processes that are remembered before old ones are let go; about 300 bytes each. */
export const PROCESSES_MAX = 16_384;
/** Processes whose unit is not known yet, and how many windows it is asked for again: an id stands for all processes of a name in a group, also those to come. */
const UNSETTLED_MAX = 1_024;
const ASKED_AGAIN_MAX = 10;

/**
 * Names of process ids. The kernel registers a process once; here it is remembered until there are too many. Forgetting takes
 * two windows: first the generation is raised, so that whatever lives registers again, then what did not come back is dropped.
 */
export class ProcessRegistry {
  readonly #resolver: NameResolver;
  readonly #max: number;
  readonly #entries = new IdMap<Entry>();
  readonly #names = new Map<string, ProcessName>();
  readonly #unsettled = new Map<Entry, { readonly identity: ProcessIdentity; asked: number }>();
  #window = 0;
  #raisedIn = 0;
  #generation = 1;

  readonly unknown: ProcessName;

  constructor(resolver: NameResolver, max = PROCESSES_MAX) {
    this.#resolver = resolver;
    this.#max = max;
    this.unknown = this.#nameOf("", "");
  }

  /** Written to the kernel at the next flip. */
  get generation(): number {
    return this.#generation;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Starts a window. */
  begin(): void {
    this.#window++;
    const renames = this.#renames();
    if (renames.size === 0) return;
    for (const entry of this.#entries.values()) {
      const unit = renames.get(entry.name.unit);
      if (unit !== undefined) entry.name = this.#nameOf(entry.name.process, unit);
    }
  }

  /** Takes control groups as they lie in the `made_groups` map. */
  addGroups(keys: Buffer, values: Buffer, count: number, layouts: { readonly key: StructLayout; readonly text: StructLayout }): void {
    const [id, hierarchy] = [fieldOf(layouts.key, "id"), fieldOf(layouts.key, "hierarchy")];
    const text = fieldOf(layouts.text, "text");
    for (let i = 0; i < count; i++) {
      const [key, value] = [i * layouts.key.size, i * layouts.text.size + text.offset];
      this.#resolver.addGroup?.({
        id: keys.readBigUInt64LE(key + id.offset),
        hierarchy: keys.readUInt32LE(key + hierarchy.offset),
        path: textOf(values.subarray(value, value + text.size)),
      });
    }
  }

  /** Asks again for units that were not known in the windows before. */
  settle(): void {
    for (const [entry, unsettled] of this.#unsettled) {
      const unit = this.#unitOf(unsettled.identity);
      if (unit !== undefined) entry.name = this.#nameOf(entry.name.process, unit);
      if (unit !== undefined || ++unsettled.asked >= ASKED_AGAIN_MAX) this.#unsettled.delete(entry);
    }
  }

  /** Takes registrations as they lie in the `processes` map. */
  add(keys: Buffer, values: Buffer, count: number, layout: StructLayout): void {
    const comm = fieldOf(layout, "comm");
    const cgroup = fieldOf(layout, "cgroup_id");
    const groups = fieldOf(layout, "v1_group_ids");
    const tgid = fieldOf(layout, "tgid");
    for (let i = 0; i < count; i++) {
      const low = keys.readInt32LE(i * 8);
      const high = keys.readInt32LE(i * 8 + 4);
      const known = this.#entries.get(low, high);
      if (known !== undefined) {
        known.lastWindow = this.#window;
        continue;
      }
      const at = i * layout.size;
      const identity: ProcessIdentity = {
        processId: keys.readBigUInt64LE(i * 8),
        comm: textOf(values.subarray(at + comm.offset, at + comm.offset + comm.size)),
        cgroupId: values.readBigUInt64LE(at + cgroup.offset),
        v1GroupIds: Array.from({ length: groups.size / 8 }, (_, index) => values.readBigUInt64LE(at + groups.offset + index * 8)),
        tgid: values.readUInt32LE(at + tgid.offset),
      };
      const unit = this.#unitOf(identity);
      const entry: Entry = { name: this.#nameOf(identity.comm, unit ?? ""), lastWindow: this.#window };
      this.#entries.set(low, high, entry);
      if (unit === undefined && this.#unsettled.size < UNSETTLED_MAX) this.#unsettled.set(entry, { identity, asked: 0 });
    }
  }

  /** Name of a process id; undefined if it never registered. */
  get(processId: bigint): ProcessName | undefined {
    return this.find(...halvesOf(processId));
  }

  /** As `get`, of the id's halves. */
  find(low: number, high: number): ProcessName | undefined {
    const entry = this.#entries.get(low, high);
    if (entry === undefined) return undefined;
    entry.lastWindow = this.#window;
    return entry.name;
  }

  /** Ends a window: starts or finishes forgetting if there are too many. */
  end(): void {
    if (this.#raisedIn > 0 && this.#window > this.#raisedIn + 1) {
      this.#entries.keep((entry) => entry.lastWindow > this.#raisedIn);
      const used = new Set([...this.#entries.values()].map((entry) => entry.name));
      for (const [key, name] of this.#names) if (!used.has(name) && name !== this.unknown) this.#names.delete(key);
      this.#raisedIn = 0;
    } else if (this.#raisedIn === 0 && this.#entries.size > this.#max) {
      this.#generation++;
      this.#raisedIn = this.#window;
    }
  }

  #renames(): ReadonlyMap<string, string> {
    try {
      return this.#resolver.renames?.() ?? new Map();
    } catch {
      return new Map();
    }
  }

  /** A resolver that fails costs one process its unit, not everyone the window that is being read. */
  #unitOf(identity: ProcessIdentity): string | undefined {
    try {
      return this.#resolver.unitOf(identity);
    } catch {
      return undefined;
    }
  }

  #nextIndex = 0;

  #nameOf(process: string, unit: string): ProcessName {
    const key = `${process}\0${unit}`;
    let name = this.#names.get(key);
    if (name === undefined) {
      name = { index: this.#nextIndex++, process, unit };
      this.#names.set(key, name);
    }
    return name;
  }
}
