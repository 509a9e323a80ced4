// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from "node:http";
import type { EndReason, LiveEvents } from "./live.schemas.ts";

/** What may wait for a client before it is sent more: so at most this and one event do. */
const UNREAD_BYTES_MAX = 1_048_576;
/** A client that was told to go is cut off after this. */
const LINGER_MS = 2_000;
/** How long browsers wait before they connect again, milliseconds. */
const RETRY_MS = 2_000;

const ends: Readonly<Record<EndReason, { detail: string; reconnect: boolean }>> = {
  max_age: { detail: "A live connection lasts 30 min. Connect again with Last-Event-ID to go on where this one ends.", reconnect: true },
  token: { detail: "The token or session is not valid any more. Sign in again.", reconnect: false },
  slow: {
    detail: `The client does not read: more than ${UNREAD_BYTES_MAX} bytes wait for it. Ask for less, or connect again with Last-Event-ID.`,
    reconnect: true,
  },
  stopping: { detail: "This node of the API stops. Connect again with Last-Event-ID.", reconnect: true },
};

/** Server-sent events to one client (WHATWG HTML, section 9.2). What it does not read is bounded. */
export class EventStream {
  private isEnded = false;

  constructor(
    private readonly response: ServerResponse,
    private readonly onEnd: (reason: EndReason | "gone") => void,
  ) {
    response.once("close", () => this.finish("gone"));
    response.on("error", () => this.finish("gone"));
    response.write(`retry: ${RETRY_MS}\n\n`);
    // A client that left while its stream was prepared says nothing more.
    if (response.destroyed) queueMicrotask(() => this.finish("gone"));
  }

  get isOpen(): boolean {
    return !this.isEnded;
  }

  /** @param id what `Last-Event-ID` says when the client comes back after this event */
  send<Name extends keyof LiveEvents>(name: Name, data: LiveEvents[Name], id?: string): void {
    if (this.isEnded) return;
    // What waits was sent before. One event alone may be longer than that, and waits for whoever reads it as fast as they can.
    if (this.response.writableLength > UNREAD_BYTES_MAX) this.end("slow");
    else this.write(`event: ${name}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`);
  }

  /** When the client has read what there was, but for some kilobytes, or the stream is over. */
  async drained(): Promise<void> {
    if (this.isEnded || !this.response.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      this.response.once("drain", resolve).once("close", resolve);
    });
  }

  /** A comment: keeps the connection from looking idle to whatever is between. */
  heartbeat(): void {
    if (!this.isEnded) this.write(": heartbeat\n\n");
  }

  /** Says why and closes. */
  end(reason: EndReason): void {
    if (this.isEnded) return;
    this.write(`event: end\ndata: ${JSON.stringify({ reason, ...ends[reason] })}\n\n`);
    this.response.end();
    setTimeout(() => this.response.destroy(), LINGER_MS).unref();
    this.finish(reason);
  }

  private write(text: string): void {
    this.response.write(text);
  }

  private finish(reason: EndReason | "gone"): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.onEnd(reason);
  }
}
