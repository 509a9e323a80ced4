// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Known work in processes of known names: a C file beside this one, compiled when this is made. */
export class Workload implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "waggle-workload-"));
  readonly #binary = join(this.#directory, "workload");
  readonly #children = new Set<ChildProcess>();

  constructor(
    source: "workload.c" | "profile-workload.c" | "file-workload.c" | "tcp-workload.c" | "udp-workload.c" | "task-workload.c" = "workload.c",
  ) {
    execFileSync("cc", ["-O1", "-fno-omit-frame-pointer", "-Wall", "-pthread", "-o", this.#binary, fileURLToPath(new URL(source, import.meta.url))]);
  }

  /** A path that executes the program under that name. */
  linkAs(name: string): string {
    const path = join(this.#directory, name);
    if (!existsSync(path)) symlinkSync(this.#binary, path);
    return path;
  }

  /** Runs a verb to its end under the name `comm`, in network namespace `netns` if given. Rejects if it fails. */
  run(comm: string, verb: string, args: readonly (string | number)[], netns?: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const child = this.#spawn(comm, verb, args, netns);
      child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${comm} ${verb} ended with ${code}`))));
    });
  }

  /** Runs a verb to its end in a mount namespace of its own, after the shell command `setup`, in directory `directory`. Rejects if either fails. */
  runAfter(setup: string, directory: string, comm: string, verb: string, args: readonly (string | number)[]): Promise<void> {
    const shell = ["--mount", "sh", "-c", `${setup} && exec "$@"`, "sh"];
    return new Promise((resolve, reject) => {
      execFile("unshare", [...shell, this.#binary, comm, verb, ...args.map(String)], { cwd: directory }, (error, _stdout, stderr) =>
        error === null ? resolve() : reject(new Error(`${comm} ${verb} after ${setup}: ${stderr}`)),
      );
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
