// SPDX-License-Identifier: Apache-2.0
import { type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { truncate } from "../window/assemble.ts";
import type { CgroupHierarchy } from "./cgroup-hierarchies.ts";
import type { HostClock } from "./clock.ts";
import type { ContainerNames } from "./container-names.ts";
import { containerOfPath, unitOfPath } from "./unit-path.ts";

export interface UnitResolverOptions {
  /** Mount point of cgroup v2 as `findCgroup2Mount` finds it; undefined: only /proc is asked. */
  readonly cgroupMount: string | undefined;
  /** Hierarchies of version 1, in the order of `CgroupMember.v1GroupIds`; none if absent. */
  readonly hierarchies?: readonly CgroupHierarchy[];
  readonly hostRoot: string;
  /** What containers are called; absent: their ids stand for them. */
  readonly containers?: Pick<ContainerNames, "unitOf" | "renames">;
  readonly clock: Pick<HostClock, "elapsedMs">;
  /** Names kept; beyond it the longest unused go. */
  readonly entriesMax?: number;
  /** Shortest time between two scans of the hierarchies. */
  readonly scanIntervalMs?: number;
  /** Directories visited in one scan of a hierarchy: a host with more groups than this has its deepest ones named by /proc. */
  readonly directoriesMax?: number;
}

/** Of every hierarchy's root since Linux 5.5, also where it is mounted nowhere. */
const ROOT_ID = 1n;

/** What is known of a process when its unit is asked for. */
export interface CgroupMember {
  readonly cgroupId: bigint;
  /** Its groups in the hierarchies of version 1; 0 where there is no such hierarchy. None if absent. */
  readonly v1GroupIds?: readonly bigint[];
  readonly tgid: number;
}

/** A mounted hierarchy, what the last scan found in it, and groups that were made since, by the kernel's word. */
interface Scanned {
  readonly mount: string | undefined;
  readonly rootId: bigint | undefined;
  pathById: Map<bigint, string>;
  readonly madeById: Map<bigint, string>;
}

/** Groups of a hierarchy that are remembered since they were made: those of some windows, as a process that outlives one is found by its directory too. */
const MADE_GROUPS_MAX = 4_096;

/**
 * Finds the unit of a process by the ids of its control groups. An id is the inode number of the group's directory (since Linux 5.5; of version 2 since
 * 4.18), so one scan of a hierarchy names all its groups at once; of groups that come later the kernel says so (`addGroup`), else they are found by another scan when first asked for. On a host with
 * version 1 a process has a group in each hierarchy, and the most telling one names it. What no scan finds is asked of /proc/<tgid>/cgroup, while
 * the process lives.
 */
export class UnitResolver {
  readonly #options: UnitResolverOptions;
  /** Insertion order is order of last use. */
  readonly #unitByKey = new Map<string, string>();
  readonly #entriesMax: number;
  /** Version 2, then the options' hierarchies of version 1. */
  readonly #hierarchies: readonly Scanned[];
  #scannedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: UnitResolverOptions) {
    this.#options = options;
    this.#entriesMax = options.entriesMax ?? 20_000;
    this.#hierarchies = [options.cgroupMount, ...(options.hierarchies ?? []).map(({ mount }) => mount)].map((mount) => ({
      mount,
      rootId: mount === undefined ? undefined : inodeOf(mount),
      pathById: new Map(),
      madeById: new Map(),
    }));
  }

  /** A group that was made, in version 2 (0) or in one of the options' hierarchies (from 1 on). */
  addGroup({ hierarchy, id, path }: { readonly hierarchy: number; readonly id: bigint; readonly path: string }): void {
    const made = this.#hierarchies[hierarchy]?.madeById;
    if (made === undefined) return;
    made.set(id, path);
    if (made.size > MADE_GROUPS_MAX) made.delete(made.keys().next().value as bigint);
  }

  /** The unit, or an empty string for the root group and for a process there that is gone. Undefined: not found, yet or any more. */
  unitOf({ cgroupId, v1GroupIds = [], tgid }: CgroupMember): string | undefined {
    const ids = [cgroupId, ...v1GroupIds];
    // In the root of every hierarchy that the kernel side looks at, others may know more, per process; elsewhere the ids say it all.
    const isPerProcess = ids.every((id, index) => id === 0n || id === ROOT_ID || id === this.#hierarchies[index]?.rootId);
    if (isPerProcess) return this.#findByProcess(tgid) ?? "";
    const key = ids.join(" ");
    const known = this.#unitByKey.get(key);
    if (known !== undefined) {
      this.#unitByKey.delete(key);
      this.#unitByKey.set(key, known);
      return known;
    }
    const unit = this.#findByIds(ids) ?? this.#findByProcess(tgid);
    if (unit === undefined) return undefined;
    this.#unitByKey.set(key, unit);
    if (this.#unitByKey.size > this.#entriesMax) this.#unitByKey.delete(this.#unitByKey.keys().next().value as string);
    return unit;
  }

  /** Units that have got a name since the last call, by what they were called until now. To be called once per window. */
  renames(): ReadonlyMap<string, string> {
    const renames = this.#options.containers?.renames() ?? new Map<string, string>();
    if (renames.size > 0) for (const [key, unit] of this.#unitByKey) this.#unitByKey.set(key, renames.get(unit) ?? unit);
    return renames;
  }

  /** Cut here already: two groups whose names are alike only once they are cut have to become one row, not two of one name. */
  #nameOf(path: string): string {
    const container = this.#options.containers === undefined ? undefined : containerOfPath(path);
    return truncate(container === undefined ? unitOfPath(path) : (this.#options.containers?.unitOf(container) ?? container.unit));
  }

  /** Undefined if one of the groups is not known: it may be the one that tells. */
  #findByIds(ids: readonly bigint[]): string | undefined {
    const paths = this.#pathsOf(ids) ?? (this.#scan() ? this.#pathsOf(ids) : undefined);
    if (paths === undefined) return undefined;
    const [v2, controller, systemd] = paths as [string, ...string[]];
    return this.#nameOf(mostTelling([v2, systemd, controller]));
  }

  #pathsOf(ids: readonly bigint[]): string[] | undefined {
    const paths = ids.map((id, index) => (id === 0n || id === ROOT_ID ? "" : this.#pathOf(index, id)));
    return paths.every((path) => path !== undefined) ? paths : undefined;
  }

  #pathOf(index: number, id: bigint): string | undefined {
    const hierarchy = this.#hierarchies[index];
    return id === hierarchy?.rootId ? "" : (hierarchy?.pathById.get(id) ?? hierarchy?.madeById.get(id));
  }

  /** Returns whether it is time for one. */
  #scan(): boolean {
    const now = this.#options.clock.elapsedMs();
    if (now - this.#scannedAtMs < (this.#options.scanIntervalMs ?? 5_000)) return false;
    this.#scannedAtMs = now;
    for (const hierarchy of this.#hierarchies) if (hierarchy.mount !== undefined) hierarchy.pathById = this.#pathsBelow(hierarchy.mount);
    return true;
  }

  #pathsBelow(mount: string): Map<bigint, string> {
    const found = new Map<bigint, string>();
    const queue = [""];
    const directoriesMax = this.#options.directoriesMax ?? 20_000;
    for (let index = 0; index < queue.length && index < directoriesMax; index++) {
      const path = queue[index] as string;
      const id = inodeOf(mount + path);
      // Groups come and go while they are looked at.
      if (id === undefined) continue;
      found.set(id, path);
      let entries: Dirent[];
      try {
        entries = readdirSync(mount + path, { withFileTypes: true });
      } catch {
        continue;
      }
      for (const entry of entries) if (entry.isDirectory()) queue.push(`${path}/${entry.name}`);
    }
    return found;
  }

  #findByProcess(tgid: number): string | undefined {
    if (tgid === 0) return undefined;
    try {
      return this.#nameOf(parseProcessCgroup(readFileSync(join(this.#options.hostRoot, `proc/${tgid}/cgroup`), "utf8")));
    } catch {
      return undefined;
    }
  }
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

/**
 * A container's if there is one, as systemd leaves containers of runtimes that do without it in the runtime's service and they are named in
 * the controllers' hierarchies only; else the first that is not the root group's.
 */
function mostTelling(paths: readonly (string | undefined)[]): string {
  const telling = paths.filter((path) => path !== undefined && path !== "" && path !== "/") as string[];
  return telling.find((path) => containerOfPath(path) !== undefined) ?? telling[0] ?? "/";
}

/** The most telling path in a /proc/<pid>/cgroup file: a container's, else v2's, else systemd's own v1 hierarchy's, else the first controller's. */
export function parseProcessCgroup(text: string): string {
  const entries = text
    .split("\n")
    .map((line) => /^(\d+):([^:]*):(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, hierarchy, controllers, path]) => ({ hierarchy, controllers, path }));
  const v2 = entries.find((entry) => entry.hierarchy === "0");
  const systemd = entries.find((entry) => entry.controllers === "name=systemd");
  return mostTelling([v2?.path, systemd?.path, ...entries.map(({ path }) => path)]);
}
