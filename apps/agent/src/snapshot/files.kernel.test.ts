// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rowsMaxOf, type WireRow } from "@waggle/signals";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { describeKernel, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import type { KernelSource, WindowData } from "./window-reader.ts";

let workload: Workload;
let source: KernelSource;
let directory: string;

const files = (window: WindowData, signal: string, process: string): Map<string, object> =>
  new Map(rowsOf(window, signal, { process }).map(({ process: _process, unit: _unit, file, ...rest }) => [file as string, rest]));
const io = (read_bytes: number, reads: number, written_bytes: number, writes: number) => ({
  read_bytes: BigInt(read_bytes),
  written_bytes: BigInt(written_bytes),
  reads: BigInt(reads),
  writes: BigInt(writes),
});
/** Every way to open for reading: open, where the architecture has it, openat and openat2. */
const OPENS = process.arch === "x64" ? 3 : 2;

const TRIES = 5;

/** A window in which the work was done, and in which whatever else runs on this machine left room for its files. */
async function windowWith(work: () => Promise<void>): Promise<WindowData> {
  for (let tries = 1; ; tries++) {
    await source.readWindow();
    await work();
    const window = await source.readWindow();
    if (tries === TRIES || !window.drops.some(({ reason }) => reason === "file_paths_full" || reason === "texts_full")) return window;
  }
}

/** The family. */
const signals = ["file_io", "file_opens", "fsync_latency"];

function withFiles(body: () => void): void {
  beforeAll(async () => {
    workload = new Workload("file-workload.c");
    source = await openSource({ signals: [...signals, "syscalls", "syscall_errors", "syscall_latency"] });
  });
  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
  });
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), "waggle-files-")));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  body();
}

describeKernel("file_io", () => {
  withFiles(() => {
    it("counts the bytes and calls of every way to write and read a file", async () => {
      const path = join(directory, "data");
      const work = async () => {
        await workload.run("wgl-write", "write", [path, 1009, 23]);
        await workload.run("wgl-read", "read", [path, 1009, 23]);
      };
      const window = await windowWith(work);
      expect(files(window, "file_io", "wgl-write")).toEqual(new Map([[path, io(0, 0, 1009 * 23 * 5, 23 * 5)]]));
      // Six reads, of which one meets the end of the file.
      expect(files(window, "file_io", "wgl-read")).toEqual(new Map([[path, io(1009 * 23 * 5, 23 * 6, 0, 0)]]));
    });

    it("counts what Linux AIO was asked for: 13 submissions of two writes and two reads each", async () => {
      const path = join(directory, "submitted");
      const work = async () => {
        await workload.run("wgl-submit", "submit", [path, 1009, 13]);
      };
      expect(files(await windowWith(work), "file_io", "wgl-submit")).toEqual(new Map([[path, io(1009 * 26, 26, 1009 * 26, 26)]]));
    });

    it("counts a copy by sendfile, splice or copy_file_range as a read of one file and a write of the other", async () => {
      const [from, to] = [join(directory, "from"), join(directory, "to")];
      writeFileSync(from, Buffer.alloc(1009));
      const work = async () => {
        await workload.run("wgl-copy", "copy", [from, to, 1009, 23]);
      };
      const window = await windowWith(work);
      expect(files(window, "file_io", "wgl-copy")).toEqual(
        new Map([
          [from, io(1009 * 23 * 3, 23 * 3, 0, 0)],
          [to, io(0, 0, 1009 * 23 * 3, 23 * 3)],
        ]),
      );
    });

    it("has nothing of pipes, sockets, devices and event descriptors, nor of calls that fail", async () => {
      const work = async () => {
        await workload.run("wgl-other", "other", [1009]);
      };
      const window = await windowWith(work);
      expect(sumOf(rowsOf(window, "syscalls", { process: "wgl-other", syscall: "write" }), "count")).toBe(4 * 1009);
      expect(rowsOf(window, "file_io", { process: "wgl-other" })).toEqual([]);
      expect(rowsOf(window, "fsync_latency", { process: "wgl-other" })).toEqual([]);
    });

    it("has nothing of a read whose descriptor another thread closed meanwhile", async () => {
      const path = join(directory, "data");
      writeFileSync(path, Buffer.alloc(64));
      const work = async () => {
        await workload.run("wgl-closed", "read-closed", [path, 23]);
      };
      const window = await windowWith(work);
      expect(rowsOf(window, "syscalls", { process: "wgl-closed", syscall: "read" })).toMatchObject([{ count: 46n }]);
      expect(rowsOf(window, "file_io", { process: "wgl-closed" })).toEqual([]);
    });

    it("names a file in a deep directory from the root, and one too deep from an ellipsis on", async () => {
      const deep = join(directory, ...Array.from({ length: 20 }, (_, index) => `d${index}`));
      const deeper = join(directory, ...Array.from({ length: 40 }, (_, index) => `e${index}`));
      const long = join(directory, "l".repeat(120), "m".repeat(120));
      const places = [deep, deeper, long];
      for (const place of places) mkdirSync(place, { recursive: true });
      const work = async () => {
        for (const place of places) await workload.run("wgl-deep", "write", [join(place, "data"), 7, 1]);
      };
      const rows = [...files(await windowWith(work), "file_io", "wgl-deep").keys()];
      expect(rows).toHaveLength(3);
      expect(rows).toContain(join(deep, "data"));
      const shortened = rows.filter((path) => path.startsWith("…/"));
      expect(shortened).toHaveLength(2);
      expect(shortened).toContain(`…/${"m".repeat(120)}/data`);
      for (const path of shortened) expect([join(deeper, "data"), join(long, "data")].some((whole) => whole.endsWith(path.slice(1)))).toBe(true);
      // 32 components are kept, of 40 directories and the file.
      expect(shortened.find((path) => path.includes("/e"))?.split("/")).toHaveLength(33);
    });

    it("keeps the odd bytes of a name that are UTF-8, and replaces others", async () => {
      const names = ["näme 文件 🐝", "line\nbreak\ttab", `"quoted' \\ *?$`, "-"];
      const work = async () => {
        for (const name of names) await workload.run("wgl-odd", "write", [join(directory, name), 7, 1]);
        await workload.runAfter(
          'touch "$(printf \'bad\\377byte\')" && set -- "$1" "$2" "$3" "$(printf \'bad\\377byte\')" 7 1',
          directory,
          "wgl-odd",
          "write",
          [],
        );
      };
      const rows = [...files(await windowWith(work), "file_io", "wgl-odd").keys()];
      expect(rows.toSorted()).toEqual([...names, "bad\ufffdbyte"].map((name) => join(directory, name)).toSorted());
    });

    it("names files without a name, deleted ones, and one before and after it was renamed", async () => {
      const work = async () => {
        await workload.run("wgl-nameless", "nameless", [directory, 1009]);
      };
      const rows = files(await windowWith(work), "file_io", "wgl-nameless");
      const unnamed = [...rows.keys()].find((path) => path.startsWith(join(directory, "#")));
      expect(unnamed).toMatch(/\/#\d+$/);
      expect(rows).toEqual(
        new Map([
          ["memfd:wgl-memory", io(0, 0, 1009, 1)],
          [unnamed, io(0, 0, 1009, 1)],
          [join(directory, "deleted"), io(0, 0, 1009, 1)],
          [join(directory, "before"), io(0, 0, 1009, 1)],
          [join(directory, "after"), io(0, 0, 1, 1)],
        ]),
      );
    });

    it("names a file by the path it has in its mount namespace: tmpfs, overlay, and ext4 on a loop device", async () => {
      mkdirSync(join(directory, "m"));
      const mounts = {
        "wgl-tmpfs": "mount -t tmpfs nodev m",
        "wgl-overlay":
          "mount -t tmpfs nodev m && mkdir m/lower m/upper m/work m/data && mount -t overlay -o lowerdir=m/lower,upperdir=m/upper,workdir=m/work nodev m/data",
        "wgl-ext4": "truncate -s 32M image && mkfs.ext4 -q image && mount -o loop image m",
        "wgl-bind": "mkdir -p source/data && mount --bind source m",
      };
      for (const [comm, setup] of Object.entries(mounts)) {
        const work = () => workload.runAfter(`${setup} && mkdir -p m/data`, directory, comm, "write", ["m/data/file", 1009, 3]);
        const window = await windowWith(work);
        expect(files(window, "file_io", comm), comm).toEqual(new Map([[join(directory, "m/data/file"), io(0, 0, 1009 * 15, 15)]]));
        // What is opened by a relative path is named by the whole one.
        expect(files(window, "file_opens", comm).get(join(directory, "m/data/file")), comm).toEqual({ result: "ok", count: 1n });
      }
    });

    it("adds up files of one path in two file systems", async () => {
      mkdirSync(join(directory, "m"));
      const work = async () => {
        for (const bytes of [1009, 1013]) await workload.runAfter("mount -t tmpfs nodev m", directory, "wgl-twice", "write", ["m/file", bytes, 1]);
      };
      const rows = files(await windowWith(work), "file_io", "wgl-twice");
      expect(rows).toEqual(new Map([[join(directory, "m/file"), io(0, 0, (1009 + 1013) * 5, 10)]]));
    });
  });
});

describeKernel("file_opens", () => {
  withFiles(() => {
    it("counts what was opened, by path, and what failed, as the program wrote it, by error", async () => {
      const [data, isDirectory] = [join(directory, "data"), join(directory, "data", "below")];
      writeFileSync(data, "");
      const work = async () => {
        await workload.run("wgl-opens", "open", [data, 1009, 0]);
        await workload.run("wgl-opens", "open", [join(directory, "missing"), 1013, 2]);
        await workload.run("wgl-opens", "open", ["not/there", 23, 2]);
        await workload.run("wgl-opens", "open", [isDirectory, 29, 20]);
        await workload.run("wgl-opens", "open", ["", 31, 2]);
      };
      const window = await windowWith(work);
      const rows = rowsOf(window, "file_opens", { process: "wgl-opens" }).map(({ file, result, count }) => [file, result, Number(count) / OPENS]);
      expect(rows.toSorted()).toEqual(
        [
          [data, "ok", 1009],
          [join(directory, "missing"), "ENOENT", 1013],
          ["not/there", "ENOENT", 23],
          [isDirectory, "ENOTDIR", 29],
          ["", "ENOENT", 31],
        ].toSorted(),
      );
      // The same calls by another count.
      const errors = rowsOf(window, "syscall_errors", { process: "wgl-opens" }).filter(({ syscall }) => (syscall as string).startsWith("open"));
      expect(sumOf(errors, "count")).toBe(OPENS * (1013 + 23 + 29 + 31));
    });

    it("counts the refusals that an ordinary user gets", async () => {
      const secret = join(directory, "secret");
      writeFileSync(secret, "", { mode: 0o600 });
      const work = async () => {
        await workload.runAfter(
          'chmod 755 . && cp "$1" ./run && shift && set -- setpriv --reuid=65534 --clear-groups --bounding-set=-all ./run "$@"',
          directory,
          "wgl-refused",
          "open",
          [secret, 1009, 13],
        );
      };
      expect(rowsOf(await windowWith(work), "file_opens", { process: "wgl-refused" })).toMatchObject([
        { file: secret, result: "EACCES", count: BigInt(1009 * OPENS) },
      ]);
    });

    it("cuts a path that has no room at its end, and counts on", async () => {
      const path = join(directory, "x".repeat(200), "y".repeat(200));
      const work = async () => {
        await workload.run("wgl-long", "open", [path, 23, 2]);
      };
      const [row] = rowsOf(await windowWith(work), "file_opens", { process: "wgl-long" });
      expect(row).toMatchObject({ result: "ENOENT", count: BigInt(23 * OPENS) });
      expect(row?.file).toBe(`${path.slice(0, 244)}…`);
    });

    it("keeps the sums of a process that opens more files than there is room for, and the errors of others", async () => {
      await source.readWindow();
      await workload.run("wgl-many", "many", [directory, 3001]);
      await workload.run("wgl-missing", "many-missing", [directory, 3011]);
      await workload.run("wgl-late", "open", ["late/error", 23, 2]);
      const window = await source.readWindow();
      const opened = rowsOf(window, "file_opens", { process: "wgl-many" });
      expect(sumOf(opened, "count")).toBe(3001);
      expect(opened.every(({ result }) => result === "ok")).toBe(true);
      const missing = rowsOf(window, "file_opens", { process: "wgl-missing" });
      expect(sumOf(missing, "count")).toBe(3011);
      expect(missing.every(({ result }) => result === "ENOENT")).toBe(true);
      for (const rows of [opened, missing]) expect(rows.filter(({ file }) => file === "~other")).toHaveLength(1);
      // What fails has room that what succeeds cannot take.
      expect(missing.length).toBeGreaterThan(100);
      expect(rowsOf(window, "file_opens", { process: "wgl-late" })).toMatchObject([{ file: "~other", result: "ENOENT", count: BigInt(23 * OPENS) }]);
      const io = rowsOf(window, "file_io", { process: "wgl-many" });
      expect([sumOf(io, "written_bytes"), sumOf(io, "writes")]).toEqual([3001, 3001]);
      expect(window.drops.map(({ reason }) => reason)).toContain("file_paths_full");
      expect(rowsOf(window, "file_opens", { process: "~other" })).toEqual([]);
      // The next window starts with all the room again.
      const work = async () => {
        await workload.run("wgl-after", "open", ["after/error", 23, 2]);
      };
      expect(rowsOf(await windowWith(work), "file_opens", { process: "wgl-after" })).toMatchObject([{ file: "after/error" }]);
    });
  });
});

describeKernel("fsync_latency", () => {
  withFiles(() => {
    it("measures every call that syncs, by file, on ext4", async () => {
      mkdirSync(join(directory, "m"));
      const setup = "truncate -s 32M image && mkfs.ext4 -q image && mount -o loop image m";
      const work = async () => {
        await workload.runAfter(setup, directory, "wgl-sync", "sync", ["m/file", 23]);
        await workload.run("wgl-sync", "sync-all", [2]);
      };
      const window = await windowWith(work);
      const rows = rowsOf(window, "fsync_latency", { process: "wgl-sync" });
      const file = join(directory, "m/file");
      expect(rows.map(({ operation, file, count }) => [operation, file, count]).toSorted()).toEqual([
        ["fdatasync", file, 23n],
        ["fsync", file, 23n],
        ["msync", "", 23n],
        ["sync", "", 2n],
        ["sync_file_range", file, 23n],
        ["syncfs", file, 23n],
      ]);
      for (const row of rows) {
        // The same calls, measured by the signal of all calls.
        const [call] = rowsOf(window, "syscall_latency", { process: "wgl-sync", syscall: row.operation as string });
        const { process: _process, unit: _unit, syscall: _syscall, ...measured } = call as WireRow;
        expect(row).toMatchObject(measured);
      }
    });

    it("is exact, like the other signals of files, and drops nothing", async () => {
      const window = await windowWith(async () => {});
      expect(window.coverage.filter(({ signal }) => signals.includes(signal))).toEqual(
        signals.map((signal) => ({ signal, state: "exact", reason: "" })),
      );
      expect(window.drops).toEqual([]);
    });
  });
});

describeKernel("more files than rows", () => {
  it("leave every process its sums, and the largest files their names", async () => {
    using tools = new Workload("file-workload.c");
    using capped = await openSource({ signals, rowCaps: rowsMaxOf });
    const place = realpathSync(mkdtempSync(join(tmpdir(), "waggle-files-")));
    try {
      await capped.readWindow();
      await tools.run("wgl-large", "write", [join(place, "large"), 100_003, 20]);
      await tools.run("wgl-small-1", "many", [place, 809]);
      await tools.run("wgl-small-2", "many", [place, 401]);
      await tools.run("wgl-missing", "many-missing", [place, 613]);
      const window = await capped.readWindow();
      expect(rowsOf(window, "file_io").length).toBeLessThanOrEqual(300);
      expect(rowsOf(window, "file_io", { process: "wgl-large" })).toMatchObject([
        { file: join(place, "large"), written_bytes: BigInt(100_003 * 100) },
      ]);
      for (const [process, files] of [
        ["wgl-small-1", 809],
        ["wgl-small-2", 401],
      ] as const) {
        const rows = rowsOf(window, "file_io", { process });
        expect([sumOf(rows, "writes"), sumOf(rows, "written_bytes")]).toEqual([files, files]);
        expect(rows.filter(({ file }) => file === "~other")).toHaveLength(1);
        expect(sumOf(rowsOf(window, "file_opens", { process }), "count")).toBe(files);
      }
      const opens = rowsOf(window, "file_opens");
      expect(opens.length).toBeLessThanOrEqual(300);
      const missing = rowsOf(window, "file_opens", { process: "wgl-missing" });
      expect([sumOf(missing, "count"), missing.every(({ result }) => result === "ENOENT")]).toEqual([613, true]);
      expect(window.cuts.get("file_io")).toBeGreaterThan(300);
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });
});

describeKernel("file maps that are too small", () => {
  it("keep totals exact in ~other", async () => {
    using tools = new Workload("file-workload.c");
    const names = signals.flatMap((map) => [`${map}_a`, `${map}_b`]);
    using small = await openSource({ signals, mapEntries: Object.fromEntries(names.map((name) => [name, 1])) });
    const place = mkdtempSync(join(tmpdir(), "waggle-files-"));
    try {
      await small.readWindow();
      await tools.run("wgl-small", "many", [place, 1009]);
      const window = await small.readWindow();
      // Whoever else works on this machine is in the sums too.
      expect(sumOf(rowsOf(window, "file_io"), "writes")).toBeGreaterThanOrEqual(1009);
      expect(sumOf(rowsOf(window, "file_opens"), "count")).toBeGreaterThanOrEqual(1009);
      expect(rowsOf(window, "file_opens", { process: "~other", unit: "~other", file: "~other", result: "~other" })).toHaveLength(1);
      expect(window.drops.map(({ reason }) => reason)).toEqual(expect.arrayContaining(["file_io_full", "file_opens_full"]));
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });
});
