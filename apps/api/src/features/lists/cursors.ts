// SPDX-License-Identifier: Apache-2.0
import { createHmac, timingSafeEqual } from "node:crypto";
import { Inject, Injectable, type OnModuleInit } from "@nestjs/common";
import { AppError } from "../../common/app-error.ts";
import { InstallationSecrets } from "../../postgres/installation-secrets.repository.ts";

/** What a page's place is part of: a cursor is good for nothing else. */
export interface CursorPurpose {
  readonly organisationId: string;
  /** The list, such as `hosts`. */
  readonly list: string;
  /** What the list was asked for: order and filters. */
  readonly of: Readonly<Record<string, unknown>>;
}

type Place = readonly (string | number)[];

/** 128 bits of a MAC: nobody guesses them, and a cursor stays short. */
const MAC_BYTES = 16;

/**
 * Places in lists, as texts that only this installation can have written: base64url of the place and of its MAC over the organisation, the list and what it was
 * asked for. A cursor hides nothing; it is signed so that nobody sends a place of another's list, or of another order, by mistake or otherwise.
 */
@Injectable()
export class Cursors implements OnModuleInit {
  private key: Buffer = Buffer.alloc(0);

  constructor(@Inject(InstallationSecrets) private readonly secrets: InstallationSecrets) {}

  async onModuleInit(): Promise<void> {
    this.key = await this.secrets.get("cursors");
  }

  seal(purpose: CursorPurpose, place: Place): string {
    const body = Buffer.from(JSON.stringify(place));
    return `${body.toString("base64url")}.${this.mac(purpose, body).toString("base64url")}`;
  }

  /** @throws AppError VALIDATION_FAILED for whatever `seal` did not give for this very list */
  open(purpose: CursorPurpose, cursor: string): Place {
    const [body = Buffer.alloc(0), mac = Buffer.alloc(0), ...rest] = cursor.split(".").map((part) => Buffer.from(part, "base64url"));
    const wanted = this.mac(purpose, body);
    if (rest.length > 0 || mac.length !== wanted.length || !timingSafeEqual(mac, wanted)) {
      const detail =
        "This is no cursor of this list with this order and filter. Take `page.next` of the page before, with the same parameters, or leave it out for the first page.";
      throw new AppError("VALIDATION_FAILED", detail, { errors: [{ pointer: "/cursor", detail }] });
    }
    return JSON.parse(body.toString()) as Place;
  }

  private mac({ organisationId, list, of }: CursorPurpose, body: Buffer): Buffer {
    const about = JSON.stringify([organisationId, list, Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1))]);
    return createHmac("sha256", this.key).update(about).update("\0").update(body).digest().subarray(0, MAC_BYTES);
  }
}
