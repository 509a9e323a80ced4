// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limits } from "@waggle/signals";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseUnitHierarchies } from "./cgroup-hierarchies.ts";
import { parseCgroup2Mount } from "./cgroup-mount.ts";
import { parseProcessCgroup, UnitResolver } from "./unit-resolver.ts";

let root: string;
let nowMs = 0;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "waggle-cgroup-"));
  mkdirSync(join(root, "cgroup"));
  nowMs = 0;
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function group(path: string): bigint {
  const directory = join(root, "cgroup", path);
  mkdirSync(directory, { recursive: true });
  return statSync(directory, { bigint: true }).ino;
}

function groupIn(hierarchy: string, path: string): bigint {
  const directory = join(root, hierarchy, path);
  mkdirSync(directory, { recursive: true });
  return statSync(directory, { bigint: true }).ino;
}

function processGroups(tgid: number, text: string): void {
  mkdirSync(join(root, `proc/${tgid}`), { recursive: true });
  writeFileSync(join(root, `proc/${tgid}/cgroup`), text);
}

const resolver = (options: object = {}) =>
  new UnitResolver({ cgroupMount: join(root, "cgroup"), hostRoot: root, clock: { elapsedMs: () => nowMs }, ...options });

describe("UnitResolver", () => {
  it("names a group by the inode of its directory", () => {
    const nginx = group("system.slice/nginx.service");
    const session = group("user.slice/user-1000.slice/session-3.scope");
    const units = resolver();
    expect(units.unitOf({ cgroupId: nginx, tgid: 0 })).toBe("nginx.service");
    expect(units.unitOf({ cgroupId: session, tgid: 0 })).toBe("session-3.scope");
  });

  it("finds a group that came after the scan, but scans no more than every few seconds", () => {
    const units = resolver({ scanIntervalMs: 5_000 });
    const early = group("system.slice/early.service");
    expect(units.unitOf({ cgroupId: early, tgid: 0 })).toBe("early.service");
    const late = group("system.slice/late.service");
    nowMs = 4_999;
    expect(units.unitOf({ cgroupId: late, tgid: 0 })).toBeUndefined();
    nowMs = 5_000;
    expect(units.unitOf({ cgroupId: late, tgid: 0 })).toBe("late.service");
  });

  it("asks /proc when the group is gone from the hierarchy or was never in it", () => {
    processGroups(77, "0::/system.slice/ghost.service\n");
    expect(resolver().unitOf({ cgroupId: 999_999_999n, tgid: 77 })).toBe("ghost.service");
    expect(resolver({ cgroupMount: undefined }).unitOf({ cgroupId: 5n, tgid: 77 })).toBe("ghost.service");
  });

  it("on a host with version 1 takes the container's name from where it stands, and a unit's from systemd's own hierarchy", () => {
    const id = "b".repeat(64);
    const v2Root = statSync(join(root, "cgroup"), { bigint: true }).ino;
    const [memoryRoot, systemdRoot] = [groupIn("memory", ""), groupIn("systemd", "")];
    const container = groupIn("memory", `docker/${id}`);
    const runtime = groupIn("systemd", "system.slice/docker.service");
    const nginx = groupIn("systemd", "system.slice/nginx.service");
    const units = resolver({
      hierarchies: [
        { id: 4, mount: join(root, "memory") },
        { id: 9, mount: join(root, "systemd") },
      ],
    });
    processGroups(5, "4:memory:/\n3:cpu:/batch\n");
    expect(units.unitOf({ cgroupId: v2Root, v1GroupIds: [container, runtime], tgid: 0 })).toBe(`docker/${"b".repeat(12)}`);
    expect(units.unitOf({ cgroupId: v2Root, v1GroupIds: [memoryRoot, nginx], tgid: 0 })).toBe("nginx.service");
    expect(units.unitOf({ cgroupId: 1n, v1GroupIds: [container, systemdRoot], tgid: 0 })).toBe(`docker/${"b".repeat(12)}`);
    // In the root of all that is looked at, another hierarchy may say something.
    expect(units.unitOf({ cgroupId: v2Root, v1GroupIds: [memoryRoot, systemdRoot], tgid: 5 })).toBe("/batch");
  });

  it("asks /proc rather than name a process by one of its groups while another is not known", () => {
    const nginx = groupIn("systemd", "system.slice/nginx.service");
    const units = resolver({
      cgroupMount: undefined,
      hierarchies: [
        { id: 4, mount: undefined },
        { id: 9, mount: join(root, "systemd") },
      ],
    });
    processGroups(7, `4:memory:/docker/${"c".repeat(64)}\n1:name=systemd:/system.slice/nginx.service\n`);
    expect(units.unitOf({ cgroupId: 1n, v1GroupIds: [4_711n, nginx], tgid: 7 })).toBe(`docker/${"c".repeat(12)}`);
    expect(units.unitOf({ cgroupId: 1n, v1GroupIds: [4_711n, nginx], tgid: 0 })).toBe(`docker/${"c".repeat(12)}`);
    expect(units.unitOf({ cgroupId: 1n, v1GroupIds: [4_712n, nginx], tgid: 0 })).toBeUndefined();
  });

  it("gives groups one name that differ only beyond what the wire takes, so that their numbers are added up", () => {
    const deep = `kube.slice/${"a".repeat(250)}/${"b".repeat(250)}`;
    const [one, other] = [group(`${deep}/one`), group(`${deep}/other`)];
    const units = resolver();
    expect(Buffer.byteLength(units.unitOf({ cgroupId: one, tgid: 0 }) as string)).toBeLessThanOrEqual(limits.stringBytesMax);
    expect(units.unitOf({ cgroupId: one, tgid: 0 })).toBe(units.unitOf({ cgroupId: other, tgid: 0 }));
  });

  it("remembers the unit of a group that has ended since", () => {
    const id = group("system.slice/short.service");
    const units = resolver();
    units.unitOf({ cgroupId: id, tgid: 0 });
    rmSync(join(root, "cgroup/system.slice/short.service"), { recursive: true });
    nowMs = 100_000;
    units.unitOf({ cgroupId: 12_345n, tgid: 0 });
    expect(units.unitOf({ cgroupId: id, tgid: 0 })).toBe("short.service");
  });

  it("names a group that was made and is gone again by what the kernel said of it, in either version", () => {
    const units = resolver({ hierarchies: [{ id: 4, mount: join(root, "memory") }] });
    units.addGroup({ hierarchy: 0, id: 71n, path: "/system.slice/run-1.service" });
    units.addGroup({ hierarchy: 1, id: 71n, path: `/docker/${"d".repeat(64)}` });
    units.addGroup({ hierarchy: 7, id: 71n, path: "/nowhere" });
    expect(units.unitOf({ cgroupId: 71n, v1GroupIds: [1n], tgid: 0 })).toBe("run-1.service");
    expect(units.unitOf({ cgroupId: 1n, v1GroupIds: [71n], tgid: 0 })).toBe(`docker/${"d".repeat(12)}`);
    expect(units.unitOf({ cgroupId: 1n, v1GroupIds: [72n], tgid: 0 })).toBeUndefined();
  });

  it("asks v1 about processes in the root of v2, each on its own", () => {
    processGroups(10, "9:name=systemd:/system.slice/cron.service\n0::/\n");
    processGroups(11, "9:name=systemd:/\n0::/\n");
    const units = resolver();
    const rootId = statSync(join(root, "cgroup"), { bigint: true }).ino;
    expect(units.unitOf({ cgroupId: rootId, tgid: 10 })).toBe("cron.service");
    expect(units.unitOf({ cgroupId: rootId, tgid: 11 })).toBe("");
    expect(units.unitOf({ cgroupId: rootId, tgid: 12 })).toBe("");
  });

  it("keeps a bounded number of names", () => {
    const ids = Array.from({ length: 5 }, (_, index) => group(`system.slice/s${index}.service`));
    const units = resolver({ entriesMax: 2, directoriesMax: 100 });
    expect(ids.map((cgroupId) => units.unitOf({ cgroupId, tgid: 0 }))).toEqual([0, 1, 2, 3, 4].map((index) => `s${index}.service`));
  });
});

describe("parseProcessCgroup", () => {
  it.each([
    ["0::/system.slice/nginx.service\n", "/system.slice/nginx.service"],
    ["2:cpu,cpuacct:/\n1:name=systemd:/system.slice/cron.service\n0::/\n", "/system.slice/cron.service"],
    [`4:memory:/docker/${"a".repeat(64)}\n1:name=systemd:/system.slice/docker.service\n`, `/docker/${"a".repeat(64)}`],
    [`4:memory:/docker/${"a".repeat(64)}\n0::/system.slice/containerd.service\n`, `/docker/${"a".repeat(64)}`],
    ["4:memory:/process_api/1\n1:name=systemd:/\n0::/\n", "/process_api/1"],
    ["1:name=systemd:/\n0::/\n", "/"],
    ["0::/a:b\n", "/a:b"],
    ["", "/"],
  ])("%j is %s", (text, path) => expect(parseProcessCgroup(text)).toBe(path));
});

describe("parseCgroup2Mount", () => {
  it("finds the mount on unified and hybrid hosts, and none on a v1 host", () => {
    const unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const hybrid =
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const v1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
    expect([unified, hybrid, v1].map(parseCgroup2Mount)).toEqual(["/sys/fs/cgroup", "/sys/fs/cgroup/unified", undefined]);
  });

  it("prefers the mount of the whole hierarchy and reads escaped paths", () => {
    const text = "40 1 0:26 /docker/x /part rw - cgroup2 none rw\n41 1 0:26 / /my\\040cgroups rw - cgroup2 none rw\n";
    expect(parseCgroup2Mount(text)).toBe("/my cgroups");
  });
});

describe("parseUnitHierarchies", () => {
  const mountinfo = [
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
    "33 31 0:30 /docker/x /part rw - cgroup cgroup rw,memory",
    "34 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "35 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
    "36 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
  ].join("\n");

  it("takes one controller's hierarchy and systemd's, where the whole of them is mounted", () => {
    const cgroup = "5:cpu,cpuacct:/\n4:memory:/\n1:name=systemd:/\n0::/\n";
    expect(parseUnitHierarchies(cgroup, mountinfo)).toEqual([
      { id: 4, mount: "/sys/fs/cgroup/memory" },
      { id: 1, mount: "/sys/fs/cgroup/systemd" },
    ]);
    expect(parseUnitHierarchies("5:cpu,cpuacct:/\n0::/\n", mountinfo)).toEqual([{ id: 5, mount: "/sys/fs/cgroup/cpu,cpuacct" }]);
  });

  it("knows a hierarchy that is mounted nowhere, and none on a host with version 2 only", () => {
    expect(parseUnitHierarchies("4:memory:/\n0::/\n", "")).toEqual([{ id: 4, mount: undefined }]);
    expect(parseUnitHierarchies("0::/user.slice\n", mountinfo)).toEqual([]);
  });
});
