// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmdirSync, writeFileSync } from "node:fs";
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

describeKernel("the unit of a process", () => {
  const made: string[] = [];
  let ownMount: string | undefined;
  let workload: Workload;
  let sleeper: Workload;
  let source: KernelSource;
  /** Mount points: systemd's hierarchy, the first controller's if one is in version 1, version 2. */
  let systemd = "";
  let controller: string | undefined;
  let unified: string | undefined;

  function group(mount: string, path: string): string {
    const directory = join(mount, path);
    for (let at = directory, missing = mkdirSync(directory, { recursive: true }); missing !== undefined; at = dirname(at)) {
      made.push(at);
      if (at === missing) break;
    }
    return join(directory, "cgroup.procs");
  }

  beforeAll(async () => {
    if (!findUnitHierarchies("/").some(({ mount }) => mount?.endsWith("systemd"))) {
      // Named hierarchies need nothing of a host with version 2; controllers cannot be in both.
      ownMount = join(mkdtempSync(join(tmpdir(), "waggle-units-")), "systemd");
      mkdirSync(ownMount);
      execFileSync("mount", ["-t", "cgroup", "-o", "none,name=systemd", "waggle-test", ownMount]);
    }
    const hierarchies = findUnitHierarchies("/");
    systemd = hierarchies.at(-1)?.mount as string;
    controller = hierarchies.length > 1 ? hierarchies[0]?.mount : undefined;
    unified = findCgroup2Mount("/");
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
    if (ownMount !== undefined) {
      execFileSync("umount", [ownMount]);
      rmdirSync(ownMount);
      rmdirSync(dirname(ownMount));
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

  it("is the container's that only controllers know, whatever systemd and version 2 say", async (context) => {
    if (controller === undefined) return context.skip("no controller is in version 1 here");
    const groups = [group(controller, `docker/${id}`), group(systemd, "system.slice/docker.service")];
    if (unified !== undefined) groups.push(group(unified, "system.slice/docker.service"));
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

  it("is version 2's where that tells", async (context) => {
    if (unified === undefined) return context.skip("version 2 is not mounted here");
    const procs = group(unified, "system.slice/wgl-v2.service");
    await workload.runAfter(`echo $$ > ${procs}`, "/", "wgl-unit-v2", "getppid", [1]);
    expect(await unitsOf("wgl-unit-v2")).toEqual(["wgl-v2.service"]);
  });
});
