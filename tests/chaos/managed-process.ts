// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, readFileSync, type WriteStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface ProcessSpec {
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** stdout and stderr are appended here. */
  readonly logFile: string;
  /** Ends the run well with status 0, instead of never. */
  readonly mayEnd?: boolean;
  /** Resolves when a start is complete; asked again until it says true. */
  readonly isReady?: () => Promise<boolean>;
}

const READY_TIMEOUT_MS = 60_000;
const RESTART_MS = 500;

/** A process that is killed and started again, and whose own deaths are counted. */
export class ManagedProcess {
  readonly spec: ProcessSpec;
  readonly #log: WriteStream;
  #child: ChildProcess | undefined;
  /** Set while it is meant to be down. */
  #isKilled = false;
  #isStopped = false;
  /** Ended with status 0, as it may. */
  hasEnded = false;
  /** How it ended without having been told to. */
  readonly ownDeaths: string[] = [];
  rssMaxBytes = 0;
  kills = 0;

  constructor(spec: ProcessSpec) {
    this.spec = spec;
    this.#log = createWriteStream(spec.logFile, { flags: "a" });
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it and waits until it is ready. Throws if it is not within a minute. */
  async start(): Promise<void> {
    this.#isKilled = false;
    this.#spawn();
    const deadlineMs = Date.now() + READY_TIMEOUT_MS;
    while (this.spec.isReady !== undefined && !(await this.spec.isReady().catch(() => false))) {
      if (Date.now() > deadlineMs) throw new Error(`${this.spec.name} was not ready within a minute; see ${this.spec.logFile}`);
      await sleep(100);
    }
  }

  /** kill -9, of `victim` instead of the process itself if given. Resolves when it is gone. */
  async kill(victim?: number): Promise<void> {
    const child = this.#child;
    this.#isKilled = true;
    if (child === undefined) return;
    this.measure();
    this.kills++;
    const exited = once(child, "exit");
    try {
      process.kill(victim ?? (child.pid as number), "SIGKILL");
    } catch {
      // It ended in this moment.
    }
    // A process whose child was killed notices by itself.
    if (victim !== undefined) setTimeout(() => child.kill("SIGKILL"), 3_000).unref();
    await exited;
  }

  /** Starts it again after a kill. */
  restart(): void {
    if (this.#isStopped || this.hasEnded) return;
    this.#isKilled = false;
    if (this.#child === undefined) this.#spawn();
  }

  /** SIGTERM, and SIGKILL if that takes more than ten seconds. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const child = this.#child;
    if (child === undefined) return;
    this.measure();
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(timer);
  }

  /** Notes the most memory it ever had; to be called before it ends. `pid`: another process than its own. */
  measure(pid = this.#child?.pid): void {
    if (pid === undefined) return;
    try {
      const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      this.rssMaxBytes = Math.max(this.rssMaxBytes, Number(kilobytes ?? 0) * 1024);
    } catch {
      // It is gone.
    }
  }

  #spawn(): void {
    // None may stay behind, however this process ends.
    const child = spawn("/usr/bin/setpriv", ["--pdeathsig=KILL", ...this.spec.command], {
      cwd: this.spec.cwd,
      env: { ...process.env, ...this.spec.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => this.#log.write(chunk));
    child.once("exit", (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      if (this.#isStopped || this.#isKilled) return;
      if (code === 0 && this.spec.mayEnd === true) {
        this.hasEnded = true;
        return;
      }
      this.ownDeaths.push(signal ?? `status ${code}`);
      setTimeout(() => {
        if (this.#child === undefined) this.restart();
      }, RESTART_MS);
    });
  }
}
