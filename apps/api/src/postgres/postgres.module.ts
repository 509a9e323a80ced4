// SPDX-License-Identifier: Apache-2.0
import { Global, Inject, Module, type OnApplicationShutdown } from "@nestjs/common";
import { Config } from "../config/config.ts";
import { Database } from "./database.ts";
import { InstallationSecrets } from "./installation-secrets.repository.ts";
import { LeasesRepository } from "./leases.repository.ts";

@Global()
@Module({
  providers: [
    { provide: Database, inject: [Config], useFactory: (config: Config) => Database.open(config.databaseUrl, config.dataDirectory) },
    LeasesRepository,
    InstallationSecrets,
  ],
  exports: [Database, LeasesRepository, InstallationSecrets],
})
export class PostgresModule implements OnApplicationShutdown {
  constructor(@Inject(Database) private readonly database: Database) {}

  async onApplicationShutdown(): Promise<void> {
    await this.database.close();
  }
}
