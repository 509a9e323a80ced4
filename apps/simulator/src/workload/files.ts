// SPDX-License-Identifier: Apache-2.0
import { bucketIndex, OTHER } from "@waggle/signals";
import { stalled, steady } from "./columns.ts";
import { byRole, counterTable, type FamilyContext, histogramTable, named, roundByChance, type SignalFamily, Templates } from "./family.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows } from "./named-rows.ts";
import type { FileUse, HostProcess } from "./processes.ts";

/** As long as the call of that name takes (`services.ts`): it is the same call. */
const SYNC_BUCKET = bucketIndex(6_000_000n);
/** A host so much busier than others touches more files than it tells of one by one. */
export const CROWDED_LOAD = 4;
const UNNAMED_FILES = 40;

interface Use extends FileUse {
  /** Of the host. */
  readonly process: number;
}

interface Open {
  readonly process: number;
  readonly count: number;
  readonly isMissing: boolean;
}

class FileTemplate {
  readonly uses: readonly Use[];
  readonly io: NamedRows;
  readonly synced: readonly Use[];
  readonly syncs: NamedRows;
  readonly opened: readonly Open[];
  readonly opens: NamedRows;

  constructor(processes: readonly HostProcess[], most: { readonly io: number; readonly opens: number; readonly syncs: number }) {
    const uses = processes.flatMap((host, process) =>
      filesOf(host, Math.ceil(most.io / processes.length)).map((use) => ({
        ...use,
        process,
        reads: use.reads * host.weight,
        writes: use.writes * host.weight,
        syncs: use.syncs * host.weight,
        opens: use.opens * host.weight,
      })),
    );
    const nameOf = ({ process, file }: { process: number; file: string }) => {
      const { process: name, unit } = processes[process] as HostProcess;
      return { process: name, unit, file };
    };
    const busiest = (amount: (use: Use) => number, count: number): Use[] =>
      uses
        .filter((use) => amount(use) > 0)
        .sort((a, b) => amount(b) - amount(a))
        .slice(0, count);
    this.uses = busiest(({ reads, bytesPerRead, writes, bytesPerWrite }) => reads * bytesPerRead + writes * bytesPerWrite, most.io);
    this.io = named("file_io", [...this.uses.map(nameOf), { process: OTHER, unit: OTHER, file: OTHER }]);
    this.synced = busiest(({ syncs }) => syncs, most.syncs);
    this.syncs = named(
      "fsync_latency",
      this.synced.map((use) => ({ ...nameOf(use), operation: "fsync" })),
    );
    const opened = [
      ...uses.map((use) => ({ ...use, count: use.opens, isMissing: false })),
      ...processes.flatMap(({ missing, weight }, process) =>
        missing.map(([file, count]) => ({ process, file, count: count * weight, isMissing: true })),
      ),
    ]
      .filter(({ count }) => count > 0)
      .sort((a, b) => b.count - a.count)
      .slice(0, most.opens);
    this.opened = opened;
    this.opens = named(
      "file_opens",
      opened.map((open) => ({ ...nameOf(open), result: open.isMissing ? "ENOENT" : "ok" })),
    );
  }
}

/** The files of a program, and where a host tells of more of them, further ones that are like the first, each less used. */
function filesOf({ files }: HostProcess, wanted: number): FileUse[] {
  const [first] = files;
  if (first === undefined) return [];
  const more = Array.from({ length: Math.max(0, wanted - files.length) }, (_, index) => {
    const part = 1 / (index + 2);
    return {
      ...first,
      file: `${first.file}.${index + 1}`,
      reads: first.reads * part,
      writes: first.writes * part,
      syncs: 0,
      opens: first.opens * part,
    };
  });
  return [...files, ...more];
}

/** What processes read, write, sync and open. */
export class FileFamily implements SignalFamily {
  readonly #templates: Templates<FileTemplate>;
  readonly #shares;
  readonly #io;
  readonly #opens;
  readonly #syncs;

  constructor({ shares, processes }: FamilyContext) {
    this.#shares = shares;
    const most = { io: shares.most("file_io"), opens: shares.most("file_opens"), syncs: shares.most("fsync_latency") };
    this.#templates = new Templates(byRole, ({ role }) => new FileTemplate(processes(role), most));
    this.#io = counterTable("file_io", shares);
    this.#opens = counterTable("file_opens", shares);
    this.#syncs = histogramTable("fsync_latency", shares);
  }

  make(window: HostWindow): void {
    window.draw("files");
    const template = this.#templates.of(window.host);
    this.#makeIo(window, template);
    this.#makeSyncs(window, template);
    this.#makeOpens(window, template);
  }

  #makeIo(window: HostWindow, { uses, io }: FileTemplate): void {
    this.#io.begin();
    const rows = window.rowsOf(this.#shares.of("file_io"), uses.length);
    const add = (name: number, reads: number, bytesPerRead: number, writes: number, bytesPerWrite: number): void => {
      this.#io.add(name, reads * bytesPerRead, writes * bytesPerWrite, reads, writes);
      window.bytesRead += reads * bytesPerRead;
      window.bytesWritten += writes * bytesPerWrite;
    };
    for (let row = 0; row < rows; row++) {
      const use = uses[row] as Use;
      const reads = use.reads === 0 ? 0 : 1 + Math.floor(window.around(use.reads));
      const writes = use.writes === 0 ? 0 : 1 + Math.floor(window.around(use.writes));
      add(row, reads, use.bytesPerRead, writes, use.bytesPerWrite);
      window.reads[use.process] = (window.reads[use.process] as number) + reads;
      window.writes[use.process] = (window.writes[use.process] as number) + writes;
    }
    if (window.host.load > CROWDED_LOAD) add(uses.length, UNNAMED_FILES, 2_000, UNNAMED_FILES / 4, 400);
    window.push(this.#io, io);
  }

  #makeSyncs(window: HostWindow, { synced, syncs }: FileTemplate): void {
    const { random, ailments } = window;
    this.#syncs.begin();
    const rows = synced.length === 0 ? 0 : window.rowsOf(this.#shares.of("fsync_latency"), synced.length);
    for (let row = 0; row < rows; row++) {
      const use = synced[row] as Use;
      const count = roundByChance(window.around(use.syncs), random.next());
      if (count === 0) continue;
      const sum = this.#syncs.add(row, count, SYNC_BUCKET, ailments.slowDisk || ailments.failingCalls ? stalled : steady, random);
      window.syncs[use.process] = (window.syncs[use.process] as number) + count;
      window.syncNs[use.process] = (window.syncNs[use.process] as number) + sum;
      window.diskWaitNs += sum;
    }
    window.push(this.#syncs, syncs);
  }

  #makeOpens(window: HostWindow, { opened, opens }: FileTemplate): void {
    const { random } = window;
    this.#opens.begin();
    const rows = opened.length === 0 ? 0 : window.rowsOf(this.#shares.of("file_opens"), opened.length);
    for (let row = 0; row < rows; row++) {
      const open = opened[row] as Open;
      const count = roundByChance(window.around(open.count), random.next());
      if (count === 0) continue;
      this.#opens.add(row, count);
      window.opens[open.process] = (window.opens[open.process] as number) + count;
      if (open.isMissing) window.opensFailed[open.process] = (window.opensFailed[open.process] as number) + count;
    }
    window.push(this.#opens, opens);
  }
}
