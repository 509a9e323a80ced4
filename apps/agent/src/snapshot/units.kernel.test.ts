// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeKernel, openSource, rowsOf, Workload } from "../../test/kernel-testing.ts";
import { findUnitHierarchies } from "../host/cgroup-hierarchies.ts";
import { findCgroup2Mount } from "../host/cgroup-mount.ts";
import { UnitResolver } from "../host/unit-resolver.ts";
import type { KernelSource } from "./window-reader.ts";

const id = "5eed".repeat(16);
const container = `docker/${id.slice(0, 12)}`;

/**
 * What to have in version 1 where no controller is: a controller is in one hierarchy alone. Version 2 has no use for the first three; of the others it lets go
 * while none of its groups has them.
 */
const spareControllers = ["freezer", "devices", "net_cls", "perf_event", "hugetlb", "pids", "cpuacct"];

describeKernel("the unit of a process", () => {
  const made: string[] = [];
  /** Mount points of what this machine had mounted nowhere. */
  const ownMounts: string[] = [];
  let workload: Workload;
  let sleeper: Workload;
  let source: KernelSource;
  /** Mount points: systemd's hierarchy, the first controller's, version 2. */
  let systemd = "";
  let controller = "";
  let unified = "";

  function group(mount: string, path: string): string {
    const directory = join(mount, path);
    for (let at = directory, missing = mkdirSync(directory, { recursive: true }); missing !== undefined; at = dirname(at)) {
      made.push(at);
      if (at === missing) break;
    }
    return join(directory, "cgroup.procs");
  }

  /** @throws if the kernel does not have it or has it in use elsewhere */
  function mount(type: "cgroup" | "cgroup2", ...options: string[]): string {
    const point = mkdtempSync(join(tmpdir(), "waggle-units-"));
    try {
      execFileSync("mount", ["-t", type, ...options.flatMap((option) => ["-o", option]), "waggle-test", point], { stdio: "pipe" });
    } catch (error) {
      rmdirSync(point);
      throw error;
    }
    ownMounts.push(point);
    return point;
  }

  /** Mounts hierarchies of version 1 that there are and that are mounted nowhere, and makes those that there are not. */
  function mountMissing(): void {
    const named = [...readFileSync("/proc/self/cgroup", "utf8").matchAll(/^(\d+):([^:\n]+):/gm)].map(([, id, names]) => ({ id: Number(id), names }));
    if (!named.some(({ names }) => names === "name=systemd")) mount("cgroup", "none,name=systemd");
    if (!named.some(({ names }) => !names?.startsWith("name="))) {
      const problems: string[] = [];
      const isMounted = spareControllers.some((name) => {
        try {
          return mount("cgroup", name) !== "";
        } catch (error) {
          problems.push(`${name}: ${(error as Error).message}`);
          return false;
        }
      });
      if (!isMounted) throw new Error(`no controller can be had in version 1 here: ${problems.join("; ")}`);
    }
    for (const { id, mount: point } of findUnitHierarchies("/"))
      if (point === undefined) mount("cgroup", named.find((hierarchy) => hierarchy.id === id)?.names as string);
    if (findCgroup2Mount("/") === undefined) mount("cgroup2");
  }

  beforeAll(async () => {
    mountMissing();
    const hierarchies = findUnitHierarchies("/");
    [controller, systemd] = hierarchies.map((hierarchy) => hierarchy.mount) as [string, string];
    unified = findCgroup2Mount("/") as string;
    workload = new Workload();
    sleeper = new Workload("task-workload.c");
    const names = new UnitResolver({
      cgroupMount: unified,
      hierarchies,
      hostRoot: "/",
      clock: { elapsedMs: () => performance.now() },
      scanIntervalMs: 0,
    });
    source = await openSource({ signals: ["syscall_latency"], names, unitHierarchies: hierarchies.map((hierarchy) => hierarchy.id) });
  });

  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
    sleeper?.[Symbol.dispose]();
    for (const directory of made.sort((a, b) => b.length - a.length)) rmdirSync(directory);
    for (const point of ownMounts.reverse()) {
      execFileSync("umount", [point]);
      rmdirSync(point);
    }
  });

  const unitsOf = async (process: string): Promise<unknown[]> => [
    ...new Set(rowsOf(await source.readWindow(), "syscall_latency", { process }).map((row) => row["unit"])),
  ];

  it("is systemd's for one that ended before anybody looked at it", async () => {
    const procs = group(systemd, "system.slice/wgl-test.service");
    await workload.runAfter(`echo $$ > ${procs}`, "/", "wgl-unit-v1", "getppid", [1]);
    expect(await unitsOf("wgl-unit-v1")).toEqual(["wgl-test.service"]);
  });

  it("is the container's that only controllers know, whatever systemd and version 2 say", async () => {
    const groups = [group(controller, `docker/${id}`), ...[systemd, unified].map((mounted) => group(mounted, "system.slice/docker.service"))];
    await workload.runAfter(groups.map((procs) => `echo $$ > ${procs}`).join(" && "), "/", "wgl-unit-box", "getppid", [1]);
    expect(await unitsOf("wgl-unit-box")).toEqual([container]);
  });

  it("follows a process that is moved, and tells two of one name apart", async () => {
    const [one, other] = ["one", "other"].map((name) => group(systemd, `system.slice/wgl-${name}.service`)) as [string, string];
    const running = await sleeper.start("wgl-unit-moved", "sleep", [1]);
    const rows = async (): Promise<unknown[]> =>
      rowsOf(await source.readWindow(), "syscall_latency", { process: "wgl-unit-moved" }).map((row) => row["unit"]);
    writeFileSync(one, String(running.pid));
    await rows();
    await running.next();
    expect(new Set(await rows())).toEqual(new Set(["wgl-one.service"]));
    const sibling = await sleeper.start("wgl-unit-moved", "sleep", [1]);
    writeFileSync(other, String(sibling.pid));
    await rows();
    await running.next();
    await sibling.next();
    expect(new Set(await rows())).toEqual(new Set(["wgl-one.service", "wgl-other.service"]));
    await running.finish();
    await sibling.finish();
  });

  it("is that of a group which is gone again when the window is read, in either version", async () => {
    for (const [process, mounted] of [
      ["wgl-unit-gone-1", systemd],
      ["wgl-unit-gone-2", unified],
    ] as const) {
      const path = `wgl-run-${process}.service`;
      const directory = join(mounted, path);
      mkdirSync(directory);
      await workload.runAfter(`echo $$ > ${join(directory, "cgroup.procs")}`, "/", process, "getppid", [13]);
      rmdirSync(directory);
      expect(await unitsOf(process)).toEqual([path]);
    }
  });

  it("is version 2's where that tells", async () => {
    const procs = group(unified, "system.slice/wgl-v2.service");
    await workload.runAfter(`echo $$ > ${procs}`, "/", "wgl-unit-v2", "getppid", [1]);
    expect(await unitsOf("wgl-unit-v2")).toEqual(["wgl-v2.service"]);
  });
});
