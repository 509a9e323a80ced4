// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { Inject, Injectable } from "@nestjs/common";
import { eq } from "drizzle-orm";
import { Database } from "./database.ts";
import { installationSecrets } from "./schema.ts";

const SECRET_BYTES = 32;

/** Keys that all nodes of an installation share and nobody else has. */
@Injectable()
export class InstallationSecrets {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** The secret of this name, made by whichever node asks first. */
  async get(name: string): Promise<Buffer> {
    const { db } = this.database;
    await db
      .insert(installationSecrets)
      .values({ name, secret: randomBytes(SECRET_BYTES).toString("base64") })
      .onConflictDoNothing();
    const [row] = await db.select().from(installationSecrets).where(eq(installationSecrets.name, name));
    if (row === undefined) throw new TypeError(`the secret ${name} vanished while it was made`);
    return Buffer.from(row.secret, "base64");
  }
}
