// SPDX-License-Identifier: Apache-2.0
import { Injectable } from "@nestjs/common";

/** The wall clock, so that tests can have their own. */
@Injectable()
export class Clock {
  /** Unix milliseconds. */
  now(): number {
    return Date.now();
  }
}
