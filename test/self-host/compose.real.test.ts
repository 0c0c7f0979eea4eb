import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import pg from 'pg'
import { expect, test } from 'vitest'

import { debianPostgres } from '../postgres/debian.ts'
import { startPostgres } from '../postgres/server.ts'
import { EXAMPLE, hasProgram, readExample, runProgram } from './example.ts'

const BIN = join(EXAMPLE, '../../bin/tidemark.js')

interface Service {
  readonly user?: string
  readonly build?: { readonly context: string }
  readonly cap_drop: readonly string[]
  readonly read_only: boolean
  readonly security_opt: readonly string[]
  readonly restart: string
  readonly mem_limit: string
  readonly pids_limit: number
  readonly healthcheck: { readonly test: readonly string[] }
  readonly networks: object
  readonly ports?: readonly object[]
  readonly environment?: { readonly [name: string]: string }
  readonly secrets: readonly { readonly source: string }[]
  readonly volumes?: readonly string[]
}
interface Compose {
  readonly services: { readonly [name: string]: Service }
  readonly networks: { readonly [name: string]: { readonly internal?: boolean } }
  readonly secrets: { readonly [name: string]: { readonly file: string } }
}

/** What docker-compose makes of the file, having held it against its schema. */
function readCompose(): Compose {
  // JSON is what everything here can read.
  const toJson = 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)'
  const command = `docker-compose config | python3 -c '${toJson}'`
  const { code, said: json } = runProgram('bash', ['-o', 'pipefail', '-c', command])
  expect(code, json).toBe(0)
  return JSON.parse(json) as Compose
}

test.skipIf(!hasProgram('docker-compose'))(
  'compose.yaml is in order, gives each service the least, and the database no port',
  () => {
    const { services, networks, secrets } = readCompose()
    expect(Object.keys(services).sort()).toEqual(['balancer', 'node-1', 'node-2', 'postgres'])
    for (const [name, service] of Object.entries(services)) {
      expect(service, name).toMatchObject({
        cap_drop: ['ALL'],
        read_only: true,
        security_opt: ['no-new-privileges:true'],
        restart: 'unless-stopped',
      })
      expect(service.mem_limit, name).toBeTruthy()
      expect(service.pids_limit, name).toBeGreaterThan(0)
      expect(service.healthcheck.test[0], name).toBe('CMD')
      // HAProxy's image has a user of its own.
      if (name !== 'balancer') expect(service.user, name).toMatch(/^[1-9]\d*:[1-9]\d*$/)
      expect(service.ports?.length ?? 0, name).toBe(name === 'balancer' ? 1 : 0)
      // Passwords are in files.
      for (const [variable, value] of Object.entries(service.environment ?? {}))
        expect(`${variable}=${value}`).not.toMatch(/password=|:\/\/[^/@]*:[^/@]*@/i)
      for (const { source } of service.secrets) expect(Object.keys(secrets)).toContain(source)
      for (const volume of service.volumes ?? []) {
        const [from = ''] = volume.split(':')
        if (from.startsWith('/')) expect(existsSync(from), from).toBe(true)
      }
    }
    for (const name of ['front', 'back']) expect(networks[name]?.internal, name).toBe(true)
    expect(Object.keys(services['postgres']?.networks ?? {})).toEqual(['back'])
    expect(Object.keys(services['balancer']?.networks ?? {})).not.toContain('back')
    // Each node that there is, and no other, is known to the balancer.
    const known = [...readExample('haproxy.cfg').matchAll(/^ {2}server (\S+) (\S+):7600$/gm)].map(
      ([, name, host]) => [name, host],
    )
    expect(known).toEqual([
      ['node-1', 'node-1'],
      ['node-2', 'node-2'],
    ])
  },
)

test.skipIf(debianPostgres() === null)(
  'the secrets are made once, and give the role its database and nothing else',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-self-host-'))
    try {
      const script = join(folder, 'make-secrets.sh')
      copyFileSync(join(EXAMPLE, 'make-secrets.sh'), script)
      const make = () => runProgram('sh', [script], { cwd: '/' })
      expect(make().code).toBe(0)
      const secrets = join(folder, 'secrets')
      const read = (name: string): string => readFileSync(join(secrets, name), 'utf8')
      const names = readdirSync(secrets)
      expect(names.sort()).toEqual(['pgpass', 'postgres-password', 'tidemark-password'])
      const first = names.map(read)
      const again = make()
      expect(again.code, again.said).toBe(0)
      expect(names.map(read)).toEqual(first)
      for (const name of names) expect(again.said).not.toContain(read(name).trim())
      expect(statSync(secrets).mode & 0o777).toBe(0o700)
      expect(statSync(join(secrets, 'pgpass')).mode & 0o777).toBe(0o600)
      const password = read('tidemark-password')
      expect(password).toMatch(/^[0-9a-f]{48}$/)
      expect(read('pgpass')).toBe(`postgres:5432:cloud:tidemark:${password}\n`)

      await using server = await startPostgres({ flags: ['fsync=off'] })
      const { hostname, port } = new URL(server.url)
      cpSync(join(EXAMPLE, 'postgres'), join(folder, 'postgres'), { recursive: true })
      // As the image's entry point does: sourced, with the server on its own machine.
      const init = runProgram('bash', ['-Eeo', 'pipefail', '-c', '. postgres/10-role.sh'], {
        cwd: folder,
        env: { PGHOST: hostname, PGPORT: port, TIDEMARK_PASSWORD_FILE: join(secrets, 'tidemark-password') },
      })
      expect(init.code, init.said).toBe(0)
      expect(init.said + server.log()).not.toContain(password)

      const url = new URL(server.url)
      url.username = 'tidemark'
      url.password = password
      url.pathname = '/cloud'
      const client = new pg.Client({ connectionString: url.href })
      await client.connect()
      try {
        const { rows } = await client.query(
          `SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, pg_get_userbyid(datdba) AS owner,
             pg_encoding_to_char(encoding) AS encoding, array_to_string(datacl, ' ') AS rights
           FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()`,
        )
        expect(rows).toEqual([
          {
            rolsuper: false,
            rolcreatedb: false,
            rolcreaterole: false,
            rolreplication: false,
            owner: 'tidemark',
            encoding: 'UTF8',
            rights: 'tidemark=CTc/tidemark',
          },
        ])
      } finally {
        await client.end()
      }
      // The nodes have the password from the file, and nothing but the password lets them in.
      await demandPasswords(server.url)
      const pgpass = join(folder, 'pgpass-here')
      const nodes = new URL(url)
      nodes.password = ''
      const check = (line: string) => {
        writeFileSync(pgpass, line, { mode: 0o400 })
        const env = { TIDEMARK_CLOUD_DATABASE_URL: nodes.href, PGPASSFILE: pgpass }
        const { code, said } = runProgram(process.execPath, [BIN, 'cloud', 'check', '--nodes', '2'], { env })
        rmSync(pgpass)
        expect(said).not.toContain(password)
        return code
      }
      const line = read('pgpass').replace('postgres:5432', `${hostname}:${port}`)
      expect(check(line)).toBe(0)
      expect(check(line.replace(password, 'another'))).toBe(1)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
)

/** From now on the server lets nobody but its superuser in without one. */
async function demandPasswords(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ readonly hba_file: string }>('SHOW hba_file')
    writeFileSync(
      rows[0]?.hba_file ?? '',
      'host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n',
    )
    await client.query('SELECT pg_reload_conf()')
  } finally {
    await client.end()
  }
}
