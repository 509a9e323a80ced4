// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Header } from "@nestjs/common";
import { Public } from "../../common/caller.ts";
import { openApiDocument } from "./openapi-document.ts";

/** Describes the API, not anyone's data, so it needs no token. */
@Controller("openapi.json")
@Public()
export class OpenApiController {
  private document: object | undefined;

  @Get()
  @Header("cache-control", "public, max-age=300")
  get(): object {
    this.document ??= openApiDocument();
    return this.document;
  }
}
