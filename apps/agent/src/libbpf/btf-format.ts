// SPDX-License-Identifier: Apache-2.0

/** The BTF encoding (Documentation/bpf/btf.rst), as far as it is read here. A type is a head of 12 bytes (name, info, size or type) and what its kind adds. */

export const BTF_MAGIC = 0xeb9f;

/** Kinds of types (enum in include/uapi/linux/btf.h). */
export const KIND = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  forward: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  function: 12,
  funcProto: 13,
  variable: 14,
  datasec: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

/** Bytes behind a type's head, by its kind and number of members. */
export function memberBytes(kind: number, members: number): number {
  switch (kind) {
    case KIND.int:
    case KIND.variable:
    case KIND.declTag:
      return 4;
    case KIND.array:
      return 12;
    case KIND.struct:
    case KIND.union:
    case KIND.datasec:
    case KIND.enum64:
      return 12 * members;
    case KIND.enum:
    case KIND.funcProto:
      return 8 * members;
    default:
      return 0;
  }
}
