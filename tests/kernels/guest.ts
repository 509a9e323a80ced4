// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { StoredKernel } from "./fetch.ts";

/** What must be loaded before the host's files can be seen; ext4 does not name crc32c_generic as its own (newer kernels have it built in). */
const BOOT_MODULES = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "9pnet_virtio", "9p", "overlay"];

/**
 * Its two CPUs take turns. With a thread each, QEMU 7.2 now and then runs code that the kernel has replaced meanwhile, and attaching to a tracepoint
 * replaces code: an int3 that was taken out again is an oops (in trace_syscall_enter, in sched_clock_cpu) and the guest's end.
 */
const ACCELERATOR = "tcg,thread=single";

export interface GuestRun {
  /** A shell command; runs as root, in the project's folder. */
  readonly command: string;
  readonly root: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Folder the guest sees as /results and may write to. */
  readonly results: string;
  /** The guest is switched off when its console has said nothing for so long. */
  readonly silenceMsMax: number;
  readonly memoryMb: number;
}

export interface GuestEnd {
  /** The command's exit status; null if the guest did not get that far or fell silent. */
  readonly status: number | null;
  /** Seconds that passed for the guest in one of this machine's, while the command ran; null if it did not come to its end. */
  readonly clockRate: number | null;
  /** What the kernel said last if it panicked. */
  readonly panic: string | null;
}

/**
 * Boots the kernel in an emulated machine (QEMU, no KVM) that sees this host's files read-only, below a layer on a scratch disk, and runs a command there.
 * What the console says is in `console.log` of the results.
 */
export async function runInGuest(kernel: StoredKernel, run: GuestRun): Promise<GuestEnd> {
  const work = mkdtempSync(join(tmpdir(), "waggle-guest-"));
  try {
    for (const left of ["status", "began", "ended"]) rmSync(join(run.results, left), { force: true });
    writeFileSync(join(run.results, "command"), `${run.command}\n`);
    const variables = { ...run.environment, WAGGLE_ROOT: run.root };
    writeFileSync(
      join(run.results, "environment"),
      Object.entries(variables)
        .map(([name, value]) => `export ${name}='${value}'\n`)
        .join(""),
    );
    await boot(kernel, run, makeInitramfs(kernel, work), makeScratchDisk(work), tscKhz(work));
    return { status: readStatus(run.results), clockRate: readClockRate(run.results), panic: readPanic(run.results) };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function readStatus(results: string): number | null {
  try {
    return Number(readFileSync(join(results, "status"), "utf8").trim());
  } catch {
    return null;
  }
}

/** The guest leaves its uptime, in s, in two files, whose times are this machine's. */
function readClockRate(results: string): number | null {
  try {
    const [began, ended] = ["began", "ended"].map((name) => {
      const file = join(results, name);
      return { guestS: Number(readFileSync(file, "utf8").split(" ", 1)[0]), hostS: statSync(file).mtimeMs / 1000 };
    }) as [{ guestS: number; hostS: number }, { guestS: number; hostS: number }];
    return (ended.guestS - began.guestS) / (ended.hostS - began.hostS);
  } catch {
    return null;
  }
}

function readPanic(results: string): string | null {
  return /Kernel panic - .*/.exec(readFileSync(join(results, "console.log"), "utf8"))?.[0].trim() ?? null;
}

/** How fast the counter goes that a guest reads as its own, which is this machine's. */
function tscKhz(work: string): string {
  const program = join(work, "tsc-khz");
  execFileSync("clang", ["-O2", "-o", program, join(import.meta.dirname, "tsc-khz.c")]);
  return execFileSync(program, { encoding: "utf8" }).trim();
}

function boot(kernel: StoredKernel, { results, silenceMsMax, memoryMb }: GuestRun, initramfs: string, disk: string, khz: string): Promise<void> {
  const share = (path: string, tag: string, more: string): string[] => [
    "-virtfs",
    `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap${more}`,
  ];
  // Left to itself the kernel measures how fast its clock goes against a timer that is emulated: while this machine is busy it may be several times off.
  const append = `console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable tsc_early_khz=${khz}`;
  const qemu = spawn(
    "qemu-system-x86_64",
    [
      ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-machine", "q35", "-accel", ACCELERATOR, "-cpu", "max"],
      ...["-smp", "2", "-m", String(memoryMb), "-serial", "stdio"],
      ...["-kernel", kernel.image, "-initrd", initramfs, "-append", append],
      ...["-drive", `file=${disk},format=raw,if=virtio,cache=unsafe`],
      ...share("/", "host", ",readonly=on"),
      ...share(results, "results", ""),
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const console = createWriteStream(join(results, "console.log"));
  qemu.stdout.pipe(console, { end: false });
  qemu.stderr.pipe(console, { end: false });
  const limit = setTimeout(() => qemu.kill("SIGKILL"), silenceMsMax);
  // How slow an emulated machine is depends on what else this one does; that it still says something does not.
  qemu.stdout.on("data", () => limit.refresh());
  const stop = (): void => {
    qemu.kill("SIGKILL");
  };
  process.once("exit", stop);
  return new Promise((resolve, reject) => {
    qemu.once("error", reject);
    qemu.once("close", () => {
      clearTimeout(limit);
      process.off("exit", stop);
      console.end(resolve);
    });
  });
}

/** An empty file system that takes room only as it is written to. Tests read past the page cache, which memory does not offer. */
function makeScratchDisk(work: string): string {
  const disk = join(work, "disk");
  execFileSync("mke2fs", ["-q", "-t", "ext4", disk, "8G"], { env: { PATH: "/usr/sbin:/sbin:/usr/bin:/bin" } });
  return disk;
}

/** busybox, init and the modules that make the host's files visible. */
function makeInitramfs(kernel: StoredKernel, work: string): string {
  const tree = join(work, "tree");
  for (const folder of ["bin", "proc", "sys", "dev", "lib/modules", "sbin"]) mkdirSync(join(tree, folder), { recursive: true });
  copyFileSync("/bin/busybox", join(tree, "bin/busybox"));
  copyFileSync("/bin/busybox", join(tree, "sbin/modprobe"));
  copyFileSync(join(import.meta.dirname, "init.sh"), join(tree, "init"));
  chmodSync(join(tree, "init"), 0o755);
  // Without links on the way: in the guest, where the host's files are below a folder, they would lead elsewhere.
  writeFileSync(join(tree, "modules-folder"), realpathSync(kernel.modules));
  const target = join(tree, "lib/modules", kernel.release);
  const lines = bootModules(kernel);
  for (const path of new Set(lines.flatMap(([module, needed]) => [module, ...needed]))) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    copyFileSync(join(kernel.modules, path), join(target, path));
  }
  writeFileSync(join(target, "modules.dep"), lines.map(([module, needed]) => `${module}: ${needed.join(" ")}\n`).join(""));
  const archive = join(work, "initramfs");
  execFileSync("sh", ["-c", `cd "$1" && find . | cpio -o -H newc --quiet > "$2"`, "sh", tree, archive]);
  return archive;
}

/** The boot modules with all they need, as paths below the modules' folder; what is built in is left out. */
function bootModules(kernel: StoredKernel): [module: string, needed: string[]][] {
  const index = new Map(
    readFileSync(join(kernel.modules, "modules.dep"), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [module = "", needed = ""] = line.split(":");
        return [module, needed.split(" ").filter((path) => path !== "")] as const;
      }),
  );
  const nameOf = (path: string): string =>
    path
      .replace(/^.*\//, "")
      .replace(/\.ko(\.\w+)?$/, "")
      .replaceAll("-", "_");
  const wanted = new Map<string, string[]>();
  const take = (module: string): void => {
    const needed = index.get(module);
    if (needed === undefined || wanted.has(module)) return;
    wanted.set(module, needed);
    needed.forEach(take);
  };
  for (const path of index.keys()) if (BOOT_MODULES.includes(nameOf(path))) take(path);
  return [...wanted];
}
