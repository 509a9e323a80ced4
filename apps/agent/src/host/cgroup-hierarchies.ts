// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { unescapeOctal } from "./cgroup-mount.ts";

/** A hierarchy of control groups of version 1 whose groups tell units apart. */
export interface CgroupHierarchy {
  /** The kernel's number of it, above 0. */
  readonly id: number;
  /** Where it is mounted; undefined: nowhere that the agent can see, so that only /proc names its groups. */
  readonly mount: string | undefined;
}

/** Runtimes put containers into all controllers' hierarchies, systemd its units at least into the first two; the first there is stands for all. */
const controllers = ["memory", "pids", "devices", "freezer", "cpu", "cpuacct", "blkio", "cpuset", "net_cls", "perf_event", "hugetlb"];

/** The host's hierarchies of version 1 that are worth looking at: of a controller, then systemd's own; none on a host that has version 2 only. */
export function findUnitHierarchies(hostRoot: string): CgroupHierarchy[] {
  try {
    const read = (name: string): string => readFileSync(join(hostRoot, "proc/self", name), "utf8");
    return parseUnitHierarchies(read("cgroup"), read("mountinfo")).map(({ id, mount }) => ({
      id,
      mount: mount === undefined ? undefined : join(hostRoot, mount),
    }));
  } catch {
    return [];
  }
}

/** By the texts of /proc/self/cgroup (cgroups(7)) and /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export function parseUnitHierarchies(cgroup: string, mountinfo: string): CgroupHierarchy[] {
  const hierarchies = [...cgroup.matchAll(/^(\d+):([^:\n]+):/gm)].map(([, id, names]) => ({ id: Number(id), names: (names as string).split(",") }));
  const first = controllers.find((controller) => hierarchies.some(({ names }) => names.includes(controller)));
  return [first, "name=systemd"].flatMap((name) => {
    const found = name === undefined ? undefined : hierarchies.find(({ names }) => names.includes(name));
    return found === undefined ? [] : [{ id: found.id, mount: mountOf(mountinfo, name as string) }];
  });
}

function mountOf(mountinfo: string, name: string): string | undefined {
  const mounts = mountinfo.split("\n").flatMap((line) => {
    const [fields, superblock] = line.split(" - ");
    const [type, , options] = (superblock ?? "").split(" ");
    const [, , , root, point] = (fields as string).split(" ");
    return type === "cgroup" && (options ?? "").split(",").includes(name) ? [{ root, point: unescapeOctal(point as string) }] : [];
  });
  // A mount of a part of it lacks groups, and would call the ones it has by the wrong paths.
  return mounts.find(({ root }) => root === "/")?.point;
}
