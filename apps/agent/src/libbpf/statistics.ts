// SPDX-License-Identifier: Apache-2.0
import { BpfError } from "./error.ts";
import { getLibbpf, getLibc } from "./symbols.ts";

const BPF_STATS_RUN_TIME = 0;

/**
 * The kernel's own run time statistics of all BPF programs of the host, on while this object lives. It costs every program
 * two clock reads and needs CAP_SYS_ADMIN, so only the benchmark uses it; the agent times itself (cost.bpf.h).
 */
export class RunTimeStatistics implements Disposable {
  #fd: number | null;

  constructor() {
    const fd = getLibbpf().bpf_enable_stats(BPF_STATS_RUN_TIME);
    if (fd < 0) throw new BpfError("enable_stats", -fd, "BPF_STATS_RUN_TIME");
    this.#fd = fd;
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) getLibc().close(this.#fd);
    this.#fd = null;
  }
}
