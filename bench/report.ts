// SPDX-License-Identifier: Apache-2.0

/** One measured number beside what it is held against. */
export interface Measurement {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** A peer's number in the same run, or a limit the project set itself. */
  readonly against?: { readonly what: string; readonly value: number };
}

export interface BenchResult {
  readonly title: string;
  /** How it was measured, in a sentence. */
  readonly method: string;
  readonly measurements: readonly Measurement[];
  /** The machine-readable answer; field names are part of the contract with scripts. */
  readonly json: Readonly<Record<string, unknown>>;
}

const digits = (value: number): string => (Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3));

export function printReport(result: BenchResult): void {
  console.log(`${result.title}\n${result.method}\n`);
  for (const { what, value, unit, against } of result.measurements) {
    const beside = against === undefined ? "" : `   ${(value / against.value).toFixed(2)} × ${against.what} (${digits(against.value)} ${unit})`;
    console.log(`  ${what.padEnd(52)} ${digits(value).padStart(10)} ${unit}${beside}`);
  }
}

/** What the command line may say; each benchmark takes what concerns it. */
export interface BenchOptions {
  /** Agents that stay connected while ingest is measured; 0: leave that part out. */
  readonly agents: number;
  /** TCP connections they share. */
  readonly connections: number;
  /** Over how long their frames of one window are spread, ms. */
  readonly spreadMs: number;
  /** Size of the fleet whose history is asked. */
  readonly hosts: number;
  /** How long that history is. */
  readonly hours: number;
  /** Of the hours, those filled through the wire. */
  readonly wireHours: number;
  /** Rows of a host and minute in it, without coverage. */
  readonly rows: number;
  /** How often each question is asked. */
  readonly runs: number;
  /** Whether 50 dashboards beside ingest are measured too. */
  readonly dashboards: boolean;
  /** Where it is kept from one run to the next; undefined: in a directory of the installation, by size. For storage: whose rows are measured. */
  readonly dataDirectory: string | undefined;
}
