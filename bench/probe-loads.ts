// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NamespacePair } from "../apps/agent/test/network-namespaces.ts";
import { Workload } from "../apps/agent/test/workload.ts";

const LOOPBACK = "127.0.0.1";
const PORT = 47_931;
/** DNS is what goes to port 53; an address of loopback that no resolver has. */
const RESOLVER = "127.77.0.53";
const DNS_PORT = 53;
const DISK_BYTES = 64 * 2 ** 20;

/** How much of each kind of work one round is. */
export const amounts = {
  calls: 500_000,
  kindCalls: 100_000,
  connections: 3_000,
  refused: 5_000,
  lossyBytes: 3_000_000,
  datagrams: 50_000,
  droppedDatagrams: 20_000,
  queries: 5_000,
  processes: 1_500,
  executions: 700,
  pingPongs: 50_000,
  diskReads: 5_000,
  spinMs: 3_000,
} as const;

/** Known work, each kind by its name. Traffic stays on loopback and in namespaces of its own. Needs root. */
export class Loads implements Disposable {
  readonly #plain = new Workload();
  readonly #files = new Workload("file-workload.c");
  readonly #sockets = new Workload("tcp-workload.c");
  readonly #datagrams = new Workload("udp-workload.c");
  readonly #tasks = new Workload("task-workload.c");
  readonly #profile = new Workload("profile-workload.c");
  readonly #directory = mkdtempSync(join(process.cwd(), ".waggle", "bench-"));
  /** What `executions` runs. */
  readonly #program = this.#tasks.linkAs("bench-program");
  #disk: string | null = null;

  static async open(): Promise<Loads> {
    const loads = new Loads();
    try {
      await loads.#plain.start("bench-server", "serve", [LOOPBACK, PORT]);
      await loads.#datagrams.start("bench-dns", "serve-dns", [RESOLVER, DNS_PORT]);
      await loads.#sockets.start("bench-deaf", "deaf", [LOOPBACK, PORT + 1, 8_192]);
      loads.#disk = loads.#attachDisk();
      return loads;
    } catch (error) {
      loads[Symbol.dispose]();
      throw error;
    }
  }

  calls(): Promise<void> {
    return this.#plain.run("bench-calls", "getppid", [amounts.calls]);
  }

  /** Calls of one kind of file-workload.c. */
  fileCalls(kind: "file" | "pipe" | "open" | "missing"): Promise<void> {
    return this.#files.run("bench-files", "repeat", [kind, join(this.#directory, "file"), amounts.kindCalls]);
  }

  connections(): Promise<void> {
    return this.#plain.run("bench-tcp", "connect", [LOOPBACK, PORT, amounts.connections]);
  }

  refused(): Promise<void> {
    return this.#plain.run("bench-refused", "refused", [LOOPBACK, PORT + 2, amounts.refused]);
  }

  /** Connections over a link that loses what goes beyond its rate; they retransmit and recover. */
  async lossy(): Promise<void> {
    using network = new NamespacePair();
    network.throttle("20mbit");
    const sink = await this.#plain.start("bench-sink", "serve", [network.secondAddress, PORT], network.second);
    await Promise.all(
      [1, 2, 3, 4].map(async () => {
        const sender = await this.#plain.start("bench-lossy", "send", [network.secondAddress, PORT, amounts.lossyBytes / 4], network.first);
        await sender.next();
        await sender.finish();
      }),
    );
    await sink.kill();
  }

  datagrams(): Promise<void> {
    return this.#datagrams.run("bench-udp", "exchange", [LOOPBACK, PORT + 3, "sendto", "recvfrom", amounts.datagrams, 100]);
  }

  queries(): Promise<void> {
    return this.#datagrams.run("bench-ask", "ask", [RESOLVER, DNS_PORT, "sendto", "recvfrom", "noerror.waggle.test", 1, amounts.queries]);
  }

  /** Datagrams for a socket whose queue is full. */
  droppedDatagrams(): Promise<void> {
    return this.#sockets.run("bench-flood", "flood", [LOOPBACK, PORT + 1, amounts.droppedDatagrams]);
  }

  processes(): Promise<void> {
    return this.#tasks.run("bench-children", "children", [amounts.processes, "exit", 0]);
  }

  executions(): Promise<void> {
    return this.#tasks.run("bench-execute", "execute", [this.#program, amounts.executions, 0]);
  }

  switches(): Promise<void> {
    return this.#tasks.run("bench-switch", "ping-pong", [amounts.pingPongs]);
  }

  diskReads(): Promise<void> {
    if (this.#disk === null) throw new Error("no loop device: losetup failed");
    return this.#tasks.run("bench-disk", "disk", [this.#disk, "read", amounts.diskReads, 4_096]);
  }

  spin(): Promise<void> {
    return this.#profile.run("bench-spin", "spin", [amounts.spinMs]);
  }

  /** Connections that stay, to the server of this object; `release` ends them. */
  async holdConnections(count: number): Promise<{ release(): Promise<void> }> {
    const holder = await this.#sockets.start("bench-hold", "hold", [LOOPBACK, PORT, count]);
    return { release: () => holder.finish() };
  }

  #attachDisk(): string | null {
    const file = join(this.#directory, "disk");
    const fd = openSync(file, "w");
    ftruncateSync(fd, DISK_BYTES);
    closeSync(fd);
    try {
      return execFileSync("losetup", ["--find", "--show", "--direct-io=on", file], { encoding: "utf8" }).trim();
    } catch {
      return null;
    }
  }

  [Symbol.dispose](): void {
    for (const workload of [this.#plain, this.#files, this.#sockets, this.#datagrams, this.#tasks, this.#profile]) workload[Symbol.dispose]();
    if (this.#disk !== null) execFileSync("losetup", ["--detach", this.#disk]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
