// SPDX-License-Identifier: Apache-2.0
import { errnoName } from "../kernel/errno.ts";

/** A call into libbpf or the kernel's BPF interface that failed. */
export class BpfError extends Error {
  /** What was tried: `open`, `load`, `attach`, `map_update`, … */
  readonly op: string;
  /** Positive error number. */
  readonly errno: number;
  /** Symbolic, such as `EPERM`. */
  readonly errnoName: string;
  /** What it was tried on: a path, a program, a map. */
  readonly subject: string;
  /** The verifier's last lines, if it was the verifier that refused. */
  readonly verifierLog: string;

  constructor(op: string, errno: number, subject: string, verifierLog = "") {
    const name = errnoName(errno);
    super(`${op} ${subject}: ${name}${verifierLog === "" ? "" : `: ${verifierLog}`}`);
    this.name = "BpfError";
    this.op = op;
    this.errno = errno;
    this.errnoName = name;
    this.subject = subject;
    this.verifierLog = verifierLog;
  }
}
