import type { FastifyRequest } from 'fastify'

import { readBearer, readHeader } from '../../http/headers.ts'
import { HEADERS } from '../../protocol/routes.ts'
import type { Credentials } from '../handler/access.ts'

export function readCredentials(request: FastifyRequest): Credentials {
  return {
    token: readBearer(request.headers.authorization),
    device: readHeader(request, HEADERS.device),
    protocol: readHeader(request, HEADERS.protocol),
    request: request.id,
  }
}
