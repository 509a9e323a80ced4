// SPDX-License-Identifier: Apache-2.0

/** Why the embedded server could not start or did not stay up. A closed set, so that a caller can decide without reading text. */
export type ClickHouseServerErrorCode =
  | "invalid-option"
  | "compiler-missing"
  | "compile-failed"
  | "library-missing"
  | "data-directory-unusable"
  | "data-directory-in-use"
  | "port-in-use"
  | "start-timeout"
  | "start-failed";

/** Every failure of this package. `message` names what failed, where, and what to do; it never contains a secret. */
export class ClickHouseServerError extends Error {
  override readonly name = "ClickHouseServerError";
  readonly code: ClickHouseServerErrorCode;

  constructor(code: ClickHouseServerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
