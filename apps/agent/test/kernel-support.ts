// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { WireRow } from "@waggle/signals";
import { describe } from "vitest";
import { readCapabilities } from "../src/kernel/capabilities.ts";
import { KERNEL_BTF_PATH } from "../src/kernel/capability-report.ts";
import { KernelSource, type KernelSourceOptions, type WindowData } from "../src/snapshot/window-reader.ts";

export const objectDirectory = fileURLToPath(new URL("../../../packages/bpf/build", import.meta.url));

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0 || !readCapabilities().has("CAP_SYS_ADMIN")) return "kernel tests need root";
  if (!existsSync(KERNEL_BTF_PATH)) return `kernel tests need ${KERNEL_BTF_PATH}`;
  if (!existsSync(join(objectDirectory, "syscall.bpf.o"))) return "kernel tests need the BPF objects: make -C packages/bpf";
  return undefined;
}

/** Runs where BPF programs can be loaded; elsewhere it is skipped with the reason, but under CI=true that is a failure. */
export function describeKernel(name: string, body: () => void): void {
  const reason = whyNot();
  if (reason !== undefined && process.env.CI === "true") throw new Error(`${name}: ${reason}`);
  if (reason === undefined) describe(name, body);
  else describe.skip(`${name} (${reason})`, body);
}

export async function openSource(options: Partial<KernelSourceOptions> = {}): Promise<KernelSource> {
  return KernelSource.open({ objectDirectory, names: { unitOf: () => "" }, ...options });
}

/** Compiles test/workload.c once per test file. */
export class Workload implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "waggle-workload-"));
  readonly #binary = join(this.#directory, "workload");
  readonly #children = new Set<ChildProcess>();

  constructor() {
    execFileSync("cc", ["-O1", "-Wall", "-o", this.#binary, fileURLToPath(new URL("./workload.c", import.meta.url))]);
    if (statSync(this.#binary).size === 0) throw new Error("cc made no binary");
  }

  /** Runs a verb to its end under the name `comm`, in network namespace `netns` if given. Rejects if it fails. */
  run(comm: string, verb: string, args: readonly (string | number)[], netns?: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const child = this.#spawn(comm, verb, args, netns);
      child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${comm} ${verb} ended with ${code}`))));
    });
  }

  /** Starts a verb and resolves when it says `ready`. */
  start(comm: string, verb: string, args: readonly (string | number)[], netns?: string): Promise<Running> {
    const child = this.#spawn(comm, verb, args, netns);
    return new Promise((resolve, reject) => {
      child.stdout?.once("data", () => resolve(new Running(child)));
      child.once("exit", (code) => reject(new Error(`${comm} ${verb} ended with ${code} before it was ready`)));
    });
  }

  #spawn(comm: string, verb: string, args: readonly (string | number)[], netns?: string): ChildProcess {
    const command = [this.#binary, comm, verb, ...args.map(String)];
    const whole = netns === undefined ? command : ["ip", "netns", "exec", netns, ...command];
    const child = spawn(whole[0] as string, whole.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export class Running {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Writes a line and resolves at the next `ready`. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.stdout?.once("data", () => resolve());
      this.#child.stdin?.write("\n");
    });
  }

  /** Ends its stdin and resolves when it has ended. */
  finish(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.stdin?.end();
    });
  }

  kill(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.kill("SIGKILL");
    });
  }
}

/** Rows of a signal whose columns equal `filter`. */
export function rowsOf(data: WindowData | readonly WindowData[], signal: string, filter: Record<string, string> = {}): WireRow[] {
  const windows = Array.isArray(data) ? (data as readonly WindowData[]) : [data as WindowData];
  return windows.flatMap((window) => (window.rows.get(signal) ?? []).filter((row) => Object.entries(filter).every(([name, value]) => row[name] === value)));
}

/** Sum of a measure over rows. */
export function sumOf(rows: readonly WireRow[], measure: string): number {
  return Number(rows.reduce((sum, row) => sum + (row[measure] as bigint), 0n));
}
