// SPDX-License-Identifier: Apache-2.0

/** Text of a C string in a field of fixed size: bytes up to the first zero; those that are not UTF-8 become the replacement character. */
export function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}
