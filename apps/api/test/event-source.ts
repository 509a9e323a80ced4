// SPDX-License-Identifier: Apache-2.0

export interface ServerEvent {
  readonly event: string;
  readonly id: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what they expect
  readonly data: any;
}

/** A client of server-sent events that a test can ask for the next one. */
export class TestEventSource {
  private readonly received: ServerEvent[] = [];
  private readonly waiting: (() => void)[] = [];
  private readonly abort = new AbortController();
  comments = 0;
  isOver = false;

  private constructor(readonly response: Response) {}

  /** @throws Error when the answer is no stream of events */
  static async open(url: string, headers: Readonly<Record<string, string>>): Promise<TestEventSource> {
    const abort = new AbortController();
    const response = await fetch(url, { headers, signal: abort.signal });
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) throw new Error(`${response.status} ${await response.text()}`);
    const source = new TestEventSource(response);
    source.abort.signal.addEventListener("abort", () => abort.abort());
    void source.read();
    return source;
  }

  /** The next event; of this name, if there is one: others before it are left out. */
  async next(name?: string): Promise<ServerEvent> {
    for (;;) {
      const event = this.received.shift();
      if (event !== undefined) {
        if (name === undefined || event.event === name) return event;
      } else if (this.isOver) throw new Error(`the stream is over, and no event ${name ?? ""} came`);
      else await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  close(): void {
    this.abort.abort();
  }

  private async read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for await (const chunk of this.response.body ?? []) {
        rest += decoder.decode(chunk, { stream: true });
        for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
          this.take(rest.slice(0, end));
          rest = rest.slice(end + 2);
        }
      }
    } catch {
      // Closed by the test.
    }
    this.isOver = true;
    this.wake();
  }

  private take(block: string): void {
    const field = (name: string): string | undefined =>
      block
        .split("\n")
        .find((line) => line.startsWith(`${name}: `))
        ?.slice(name.length + 2);
    const data = field("data");
    if (data === undefined) this.comments++;
    else this.received.push({ event: field("event") ?? "message", id: field("id"), data: JSON.parse(data) });
    this.wake();
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
