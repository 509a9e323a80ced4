// SPDX-License-Identifier: Apache-2.0
import type { WireRow } from "@waggle/signals";
import type { Collected, Collector } from "./collector.ts";
import type { EncodedRows, WindowData, WindowLook, WindowPlan, WindowSource } from "./source.ts";
import { UnavailableSource } from "./unavailable-source.ts";

/** A source whose windows also hold what collectors have to say. Each collector stands on its own: one that fails takes only its own signals along. */
export class CollectingSource implements WindowSource {
  readonly #source: WindowSource;
  readonly #collectors: readonly Collector[];
  readonly #rowsMax: number;
  readonly #onFailure: (words: string) => void;
  /** Signals that somebody switched off, by the reason. */
  readonly #disabled = new Map<string, ReadonlySet<string>>();

  /**
   * @param rowsMax rows of one signal and window that a collector may make
   * @param onFailure told why a window of the source could not be read
   */
  constructor(source: WindowSource, collectors: readonly Collector[], rowsMax: number, onFailure: (words: string) => void = () => {}) {
    this.#onFailure = onFailure;
    this.#source = source;
    this.#collectors = collectors;
    this.#rowsMax = rowsMax;
  }

  async readWindow(rowsMax?: number): Promise<WindowData> {
    const data = await this.#readSource(rowsMax);
    const collected: Collected[] = [];
    // Also those that are off are asked, so that what they say once they are back is of one window.
    for (const collector of this.#collectors) {
      const said = await this.#ask(collector, Math.min(this.#rowsMax, rowsMax ?? this.#rowsMax));
      collected.push(...said.map((entry) => this.#unlessDisabled(entry)));
    }
    const answered = new Set(collected.map(({ signal }) => signal));
    return {
      ...data,
      rows: joined(data.rows, collected),
      // A source that cannot measure anything says so of every signal, also of those that need no more than /proc.
      coverage: [
        ...data.coverage.filter(({ signal }) => !answered.has(signal)),
        ...collected.map(({ signal, state, reason }) => ({ signal, state, reason })),
      ],
    };
  }

  beginWindow(plan: WindowPlan): number {
    return this.#source.beginWindow?.(plan) ?? Number.POSITIVE_INFINITY;
  }

  look(): WindowLook {
    return this.#source.look?.() ?? { againInMs: Number.POSITIVE_INFINITY };
  }

  /** A kernel side that cannot be read leaves what needs no kernel side as it is: collectors are asked all the same, so that each of their windows is one window. */
  async #readSource(rowsMax: number | undefined): Promise<WindowData> {
    try {
      return await this.#source.readWindow(rowsMax);
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      this.#onFailure(words);
      return new UnavailableSource("failed", `reading the window failed: ${words}`).readWindow();
    }
  }

  setDisabled(signals: ReadonlySet<string>, reason: string): void {
    this.#disabled.set(reason, signals);
    this.#source.setDisabled?.(signals, reason);
  }

  setBudget(share: number): void {
    this.#source.setBudget?.(share);
  }

  setWatched(processes: ReadonlySet<string>): void {
    this.#source.setWatched?.(processes);
  }

  #unlessDisabled(entry: Collected): Collected {
    const [reason] = [...this.#disabled].find(([, signals]) => signals.has(entry.signal)) ?? [];
    return reason === undefined ? entry : { signal: entry.signal, rows: [], state: "disabled", reason };
  }

  async #ask(collector: Collector, rowsMax: number): Promise<readonly Collected[]> {
    try {
      return await collector.collect(rowsMax);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return collector.signals.map((signal) => ({ signal, rows: [], state: "failed", reason }));
    }
  }

  close(): void {
    for (const collector of this.#collectors) collector.close?.();
    this.#source.close();
  }
}

function* joined(rows: WindowData["rows"], collected: readonly Collected[]): Generator<readonly [string, readonly WireRow[] | EncodedRows]> {
  yield* rows;
  for (const { signal, rows } of collected) if (rows.length > 0) yield [signal, rows];
}
