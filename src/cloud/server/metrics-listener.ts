import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import type { PrometheusMetrics } from '../metrics/prometheus.ts'
import { isLoopback, urlHost } from '../../http/addresses.ts'
import { SECURITY_HEADERS } from '../../http/headers.ts'
import { checkLoopbackRequest } from './addresses.ts'

export const METRICS_PATH = '/metrics'
/** Programs that look at the same time: more than two or three are a mistake. */
const MAX_CONNECTIONS = 32
/** A request for them has no body and one line. */
const REQUEST_MS = 10_000

export interface MetricsListener {
  readonly url: string
  close(): Promise<void>
}

/**
 * Serves the metrics at an address of their own, without a token: what they tell is no user's, but how much is going
 * on is nobody's business on the port that everybody reaches. Rejects with what the system says when it cannot listen.
 */
export async function serveMetrics(
  metrics: PrometheusMetrics,
  at: { readonly host: string; readonly port: number },
): Promise<MetricsListener> {
  const local = isLoopback(at.host)
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const end = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
      response.writeHead(status, { ...SECURITY_HEADERS, 'content-type': type }).end(text)
    }
    try {
      // A web page that has made its name point here.
      if (local) checkLoopbackRequest(request.headers)
    } catch {
      return end(403, 'Forbidden\n')
    }
    if (request.url?.split('?', 1)[0] !== METRICS_PATH) return end(404, `There is only ${METRICS_PATH}\n`)
    if (request.method !== 'GET') {
      response.setHeader('allow', 'GET')
      return end(405, 'Only GET\n')
    }
    end(200, await metrics.text(), metrics.contentType)
  }

  const options = {
    requestTimeout: REQUEST_MS,
    headersTimeout: REQUEST_MS,
    connectionsCheckingInterval: REQUEST_MS,
  }
  const server = createServer(options, (request, response) => {
    request.resume()
    answer(request, response).catch(() => response.destroy())
  })
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: at.host, port: at.port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${urlHost(at.host)}:${port}${METRICS_PATH}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
