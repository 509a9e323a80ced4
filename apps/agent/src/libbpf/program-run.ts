// SPDX-License-Identifier: Apache-2.0
import { BpfError } from "./error.ts";
import { getLibbpf } from "./symbols.ts";

/** struct bpf_test_run_opts of libbpf 1.x: its own size first; everything else may be 0 for a program that takes nothing. */
const OPTIONS_BYTES = 80;

/**
 * Runs a loaded raw_tp program once, on a worker thread, for what it does to maps: it is attached to nothing. The kernel's "test run" is an ordinary
 * run of the program on this CPU (bpf_prog_test_run_raw_tp(), net/bpf/test_run.c, since Linux 5.10), and needs no more than the right to load it.
 * Throws a BpfError{op: "run"}.
 */
export function runProgram(programFd: number, program: string): Promise<void> {
  const options = Buffer.alloc(OPTIONS_BYTES);
  options.writeBigUInt64LE(BigInt(OPTIONS_BYTES), 0);
  return new Promise((resolve, reject) => {
    getLibbpf().bpf_prog_test_run_opts.async(programFd, options, (error, result) => {
      if (error) reject(error);
      else if (result < 0) reject(new BpfError("run", -result, program));
      else resolve();
    });
  });
}
