// SPDX-License-Identifier: Apache-2.0
import { type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { truncate } from "../window/assemble.ts";
import type { HostClock } from "./clock.ts";
import { unitOfPath } from "./unit-path.ts";

export interface UnitResolverOptions {
  /** Mount point of cgroup v2 as `findCgroup2Mount` finds it; undefined: only /proc is asked. */
  readonly cgroupMount: string | undefined;
  readonly hostRoot: string;
  readonly clock: Pick<HostClock, "elapsedMs">;
  /** Names kept; beyond it the longest unused go. */
  readonly entriesMax?: number;
  /** Shortest time between two scans of the hierarchy. */
  readonly scanIntervalMs?: number;
  /** Directories visited in one scan: a host with more groups than this has its deepest ones named by /proc. */
  readonly directoriesMax?: number;
}

/** What is known of a process when its unit is asked for. */
export interface CgroupMember {
  readonly cgroupId: bigint;
  readonly tgid: number;
}

/**
 * Finds the unit of a control group by its id. On cgroup v2 the id is the inode number of the group's directory, so one scan of the hierarchy names all
 * groups at once; groups that come later are found by another scan when first asked for. On v1 hosts the id says nothing
 * (every process is in the root of the v2 hierarchy), and /proc/<tgid>/cgroup is read while the process lives.
 */
export class UnitResolver {
  readonly #options: UnitResolverOptions;
  /** Insertion order is order of last use. */
  readonly #unitByKey = new Map<string, string>();
  readonly #entriesMax: number;
  readonly #rootId: bigint | undefined;
  #unitById = new Map<bigint, string>();
  #scannedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: UnitResolverOptions) {
    this.#options = options;
    this.#entriesMax = options.entriesMax ?? 20_000;
    this.#rootId = options.cgroupMount === undefined ? undefined : inodeOf(options.cgroupMount);
  }

  /** The unit, or an empty string for the root group and for what cannot be known any more. */
  unitOf(member: CgroupMember): string {
    // In the root of v2 the v1 hierarchies may know more, per process; elsewhere the id says it all.
    const isPerProcess = member.cgroupId === 0n || member.cgroupId === this.#rootId;
    const key = isPerProcess ? `p${member.tgid}` : `g${member.cgroupId}`;
    const known = this.#unitByKey.get(key);
    if (known !== undefined) {
      this.#unitByKey.delete(key);
      this.#unitByKey.set(key, known);
      return known;
    }
    const unit = (isPerProcess ? undefined : this.#findById(member.cgroupId)) ?? this.#findByProcess(member.tgid);
    if (unit === undefined) return "";
    // A number of a process comes around again; its group does not.
    if (isPerProcess) return unit;
    this.#unitByKey.set(key, unit);
    if (this.#unitByKey.size > this.#entriesMax) this.#unitByKey.delete(this.#unitByKey.keys().next().value as string);
    return unit;
  }

  #findById(cgroupId: bigint): string | undefined {
    const known = this.#unitById.get(cgroupId);
    if (known !== undefined || this.#options.cgroupMount === undefined) return known;
    const now = this.#options.clock.elapsedMs();
    if (now - this.#scannedAtMs < (this.#options.scanIntervalMs ?? 5_000)) return undefined;
    this.#scannedAtMs = now;
    this.#unitById = this.#scan(this.#options.cgroupMount);
    return this.#unitById.get(cgroupId);
  }

  #scan(mount: string): Map<bigint, string> {
    const found = new Map<bigint, string>();
    const queue = [""];
    const directoriesMax = this.#options.directoriesMax ?? 20_000;
    for (let index = 0; index < queue.length && index < directoriesMax; index++) {
      const path = queue[index] as string;
      const id = inodeOf(mount + path);
      // Groups come and go while they are looked at.
      if (id === undefined) continue;
      found.set(id, nameOf(path));
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
      return nameOf(parseProcessCgroup(readFileSync(join(this.#options.hostRoot, `proc/${tgid}/cgroup`), "utf8")));
    } catch {
      return undefined;
    }
  }
}

/** Cut here already: two groups whose names are alike only once they are cut have to become one row, not two of one name. */
function nameOf(path: string): string {
  return truncate(unitOfPath(path));
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

/**
 * The most telling path in a /proc/<pid>/cgroup file: v2's, else systemd's own v1 hierarchy, else the first controller's that is not the root.
 */
export function parseProcessCgroup(text: string): string {
  const entries = text
    .split("\n")
    .map((line) => /^(\d+):([^:]*):(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, hierarchy, controllers, path]) => ({ hierarchy, controllers, path: path as string }));
  const telling = entries.filter((entry) => entry.path !== "/" && entry.path !== "");
  const v2 = telling.find((entry) => entry.hierarchy === "0");
  const systemd = telling.find((entry) => entry.controllers === "name=systemd");
  // systemd leaves containers of cgroupfs-driven runtimes in the runtime's service and names them in the controllers only.
  const container = telling.find((entry) => /[0-9a-f]{64}/.test(entry.path));
  return (v2 ?? container ?? systemd ?? telling[0])?.path ?? "/";
}
