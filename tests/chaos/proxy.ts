// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";

interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
  mirror: Socket | undefined;
}

/** A TCP proxy on loopback whose connections can be cut, delayed, stalled and duplicated. */
export class FaultyProxy {
  /** Ports it leads to; a new connection goes to the next one in turn that accepts. */
  readonly #ports: readonly number[];
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #turn = 0;
  #latencyMs = 0;
  #isStalled = false;
  #isMirrored = false;

  private constructor(ports: readonly number[]) {
    this.#ports = ports;
    this.#server = createServer({ noDelay: true }, (client) => void this.#accept(client));
  }

  /** @param ports on 127.0.0.1 */
  static async open(ports: readonly number[]): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(ports);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Resets every connection. */
  cut(): void {
    for (const pair of [...this.#pairs]) this.#drop(pair);
  }

  /** From now on bytes arrive so much later; 0: at once. */
  delay(latencyMs: number): void {
    this.#latencyMs = latencyMs;
  }

  /** Connections stay open and nothing moves on them, or all moves again. */
  stall(isStalled: boolean): void {
    this.#isStalled = isStalled;
    for (const { client, upstream } of this.#pairs) {
      for (const socket of [client, upstream]) {
        if (isStalled) socket.pause();
        else socket.resume();
      }
    }
  }

  /** While set, what a client sends on a new connection goes to the next port as well, whose answers nobody hears. */
  duplicate(isMirrored: boolean): void {
    this.#isMirrored = isMirrored && this.#ports.length > 1;
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  async #accept(client: Socket): Promise<void> {
    client.on("error", () => client.destroy());
    client.pause();
    const first = this.#turn++;
    for (let attempt = 0; attempt < this.#ports.length; attempt++) {
      const upstream = await connectTo(this.#ports[(first + attempt) % this.#ports.length] as number);
      if (upstream === undefined) continue;
      const mirror = this.#isMirrored ? await connectTo(this.#ports[(first + attempt + 1) % this.#ports.length] as number) : undefined;
      this.#join({ client, upstream, mirror });
      return;
    }
    client.resetAndDestroy();
  }

  #join(pair: Pair): void {
    const { client, upstream, mirror } = pair;
    this.#pairs.add(pair);
    const drop = (): void => this.#drop(pair);
    for (const socket of [client, upstream]) socket.on("close", drop).on("error", drop);
    this.#forward(client, [upstream, ...(mirror === undefined ? [] : [mirror])]);
    this.#forward(upstream, [client]);
    mirror?.on("error", () => mirror.destroy()).resume();
    if (!this.#isStalled) {
      client.resume();
      upstream.resume();
    }
  }

  #forward(from: Socket, to: readonly Socket[]): void {
    // In the order of arrival, whatever the latency was meanwhile: timers of their own could fire in another one.
    const waiting: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
    const write = (chunk: Buffer): void => {
      for (const socket of to) if (!socket.destroyed) socket.write(chunk);
    };
    const writeDue = (): void => {
      for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
        const leftMs = next.dueMs - performance.now();
        if (leftMs > 0) {
          setTimeout(writeDue, Math.ceil(leftMs));
          return;
        }
        write(next.chunk);
        waiting.shift();
      }
    };
    from.on("data", (chunk: Buffer) => {
      const isFirst = waiting.length === 0;
      if (isFirst && this.#latencyMs === 0) return write(chunk);
      waiting.push({ chunk, dueMs: performance.now() + this.#latencyMs });
      if (isFirst) writeDue();
    });
  }

  #drop(pair: Pair): void {
    if (!this.#pairs.delete(pair)) return;
    for (const socket of [pair.client, pair.upstream, pair.mirror]) if (socket !== undefined && !socket.destroyed) socket.resetAndDestroy();
  }
}

function connectTo(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port, noDelay: true });
    socket.once("connect", () => {
      socket.pause();
      resolve(socket);
    });
    socket.once("error", () => resolve(undefined));
  });
}
