import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { ask } from '../cloud/test-cloud.ts'
import { startCloudProcess } from '../cloud/cloud-process.ts'
import { pushBody, put } from '../cloud/requests.ts'
import { debianPostgres } from '../postgres/debian.ts'
import { startPostgres } from '../postgres/server.ts'
import { listRunBlocks, type Block } from '../readme-blocks.ts'
import type { PushAnswer } from '../../src/protocol/push.ts'
import { EXAMPLE, readExample, runProgram } from './example.ts'

const SCHEMA = {
  space: 'main',
  replica: 'replica-a',
  tables: [
    { name: 'city', columns: [{ name: 'id', type: 'INTEGER' }], key: ['id'], unique: [], foreignKeys: [] },
  ],
}
const SERVICES = ['balancer', 'node-1', 'node-2', 'postgres']

/**
 * In place of Docker's: what is to be run in a container is run here, with the programs and the server that are here;
 * of all else only the names are looked at.
 */
const DOCKER = `#!/bin/bash
set -euo pipefail
[ "$1" = compose ]; shift
known() { case " ${SERVICES.join(' ')} " in *" $1 "*) ;; *) echo "no service $1" >&2; exit 1 ;; esac; }
case $1 in
  exec) [ "$2" = -T ]; known "$3"; shift 3; exec "$@" ;;
  up|stop|build) shift; for word; do case $word in -*) ;; *) known "$word" ;; esac; done ;;
  *) echo "unknown: $1" >&2; exit 1 ;;
esac
`

test.skipIf(debianPostgres() === null)(
  'what the README says of containers makes a cloud, backs it up, and puts it back in a new generation',
  async () => {
    const bin = debianPostgres() ?? ''
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-self-host-'))
    try {
      cpSync(EXAMPLE, folder, { recursive: true, filter: (from) => !from.endsWith('/secrets') })
      const programs = join(folder, 'programs')
      mkdirSync(programs)
      writeFileSync(join(programs, 'docker'), DOCKER)
      const main = join(EXAMPLE, '../../bin/tidemark.js')
      writeFileSync(join(programs, 'tidemark'), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`)
      for (const name of ['docker', 'tidemark']) chmodSync(join(programs, name), 0o755)

      await using server = await startPostgres({ bin, flags: ['fsync=off'] })
      const { hostname, port } = new URL(server.url)
      const cloud = new URL(server.url)
      cloud.username = 'tidemark'
      cloud.pathname = '/cloud'
      const env = {
        PATH: [programs, bin, process.env['PATH'] ?? ''].join(':'),
        PGHOST: hostname,
        PGPORT: port,
        TIDEMARK_CLOUD_DATABASE_URL: cloud.href,
        TIDEMARK_PASSWORD_FILE: join(folder, 'secrets/tidemark-password'),
      }
      const run = (script: string, line = 0): string => {
        const { code, said } = runProgram('bash', ['-euo', 'pipefail', '-c', script], { cwd: folder, env })
        expect(code, `README.md:${line}\n${script}\n${said}`).toBe(0)
        return said
      }

      const blocks = listRunBlocks(readExample('README.md'))
      expect(blocks.length).toBe(5)
      const [secrets, start, upgrade, backUp, putBack] = blocks as [Block, Block, Block, Block, Block]
      run(secrets.script, secrets.line)
      expect(existsSync(join(folder, 'secrets/tls.pem'))).toBe(true)
      // As PostgreSQL's image does when its volume is empty.
      run('. postgres/10-role.sh')
      const token = /^tm_\S+$/m.exec(run(start.script, start.line))?.[0] ?? ''
      const headers = { authorization: `Bearer ${token}` }
      const push = async (mutation: number): Promise<PushAnswer> => {
        await using node = await startCloudProcess({ database: cloud.href })
        const told = await ask(node.url, 'PUT', '/sync/schema', { body: SCHEMA, headers })
        expect(told.status).toBe(200)
        const body = pushBody(mutation, [put(mutation)])
        const answer = await ask(node.url, 'POST', '/sync/push', { body, headers })
        expect(answer.status).toBe(200)
        return answer.json as PushAnswer
      }
      const first = await push(1)
      // That node was killed, perhaps before it came to the views.
      run('docker compose exec -T node-1 tidemark cloud views --refresh')
      run(upgrade.script, upgrade.line)
      run(backUp.script, backUp.line)
      expect((await push(2)).head).toBe(2)
      run(putBack.script, putBack.line)
      // What came after the back-up is gone, and that can be told.
      const again = await push(2)
      expect(again.head).toBe(2)
      expect(again.epoch).toBe(first.epoch)
      expect(again.generation).toMatchObject({ start: 1, before: [{ id: first.generation.id, start: 0 }] })
      expect(again.generation.id).not.toBe(first.generation.id)
      run(`docker compose exec -T node-1 tidemark cloud check --nodes 2`)
      expect(run('docker compose exec -T node-1 tidemark cloud views')).toMatch(
        /^up to date +"ours\/main"\."city"$/m,
      )
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
)
