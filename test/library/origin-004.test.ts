import { DatabaseSync } from 'node:sqlite'
import { parseEnv } from 'node:util'

import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  ConflictResolverFactory,
  ConflictResolvers,
  createSyncManager,
  debounceSync,
  isSyncAvailable,
  migrate,
  RetryQueue,
  type SyncConflict,
  type SyncProvider,
} from '../../src/library/index.ts'
import { openMachine } from '../command-line.ts'
import { openOriginWorld, type OriginWorld } from './origin-world.ts'

/**
 * Every code block of origin 004, in its order, as it stands there. Adapted only where a name of the product is another
 * one, and where strict TypeScript asks for it.
 */

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllEnvs()
})

/** Both devices change one value of one row. */
async function makeConflict({ knex, syncManager, other }: OriginWorld): Promise<void> {
  await syncManager.sync()
  await other.syncManager.sync()
  await other.knex('notifications').where({ id: 'n1' }).update({ status: 'archived' })
  await other.syncManager.sync()
  await knex('notifications').where({ id: 'n1' }).update({ status: 'read' })
}

const statusOf = async ({ knex }: Pick<OriginWorld, 'knex'>): Promise<unknown> =>
  (await knex('notifications').where({ id: 'n1' }).first('status'))?.status

/** A key that the cloud takes from nobody. */
const LONG_KEY = 'k'.repeat(2_000)

describe('Quick Start', () => {
  it("Basic Setup: import { createSyncManager } from './sync'", async () => {
    await using origin = await openOriginWorld()
    const { knex } = origin
    const before = await knex('sqlite_master').select()

    // Initialize sync manager
    const syncManager = await createSyncManager(knex, {
      autoSyncEnabled: false,
      autoSyncInterval: 30, // minutes
      batchSize: 50,
      maxRetries: 3,
    })

    origin.own(syncManager)
    expect(syncManager.getConfig()).toMatchObject({
      autoSyncEnabled: false,
      autoSyncInterval: 30,
      batchSize: 50,
      maxRetries: 3,
    })
    const byDefault = origin.own(await createSyncManager(knex))
    expect(byDefault.getConfig()).toEqual(syncManager.getConfig())
    expect(await knex('sqlite_master').select()).toEqual(before)
  })

  it('Optional Supabase Integration: SUPABASE_URL=https://your-project.supabase.co', async () => {
    await using origin = await openOriginWorld()
    const environment = parseEnv(`
      TIDEMARK_ENDPOINT=https://your-cloud.example
      TIDEMARK_TOKEN=your-token
    `)
    const syncManager = origin.own(await createSyncManager(origin.knex, { environment }))
    expect(isSyncAvailable({}, environment)).toBe(true)
    expect(isSyncAvailable({}, {})).toBe(false)
    expect(syncManager.getProvider()?.name).toBe('cloud your-cloud.example')
  })

  it('Optional Supabase Integration: if (isSyncAvailable()) {', async () => {
    await using origin = await openOriginWorld()
    const { knex } = origin
    const authToken = origin.world.cloud.token
    const syncManager = origin.own(await createSyncManager(knex))
    let connected: SyncProvider | null = null

    // Check if sync is available
    if (isSyncAvailable()) {
      const provider = await syncManager.createCloudProvider(
        process.env.TIDEMARK_ENDPOINT!,
        authToken, // Optional authentication token
      )
      connected = provider
    }

    expect(connected).toMatchObject({ isConnected: true })
    expect(syncManager.getProvider()).toBe(connected)
    expect((await syncManager.seed()).recordsProcessed).toBe(3)
  })

  it('Database Migration: npm run db:migrate', async () => {
    await using origin = await openOriginWorld()
    const { knex } = origin
    const made = await migrate(knex)
    expect(made).toMatchObject({ migrated: true, tables: ['notifications', 'projects'], refused: [] })
    expect(await migrate(knex)).toEqual({ ...made, migrated: false })
    const own = await knex('sqlite_master').where('type', 'table').andWhereLike('name', '_tidemark%')
    expect(own.length).toBeGreaterThan(0)

    // The same from the command line.
    await using machine = await openMachine()
    const file = origin.world.path('elsewhere')
    const elsewhere = origin.world.knex('elsewhere')
    await elsewhere.raw('CREATE TABLE notes (id TEXT PRIMARY KEY)')
    await elsewhere.destroy()
    expect(await machine.ask('migrate', file)).toMatchObject({ migrated: true, tables: ['notes'] })
    expect(await machine.ask('migrate', file)).toMatchObject({ migrated: false, tables: ['notes'] })
    await machine.ask('detach', file, '--yes')
    const after = new DatabaseSync(file, { readOnly: true })
    expect(after.prepare('SELECT name FROM sqlite_master WHERE type = ?').all('table')).toEqual([
      { name: 'notes' },
    ])
    after.close()
  })

  it('Cloud Schema Setup: -- Execute the contents of src/sync/supabase-schema.sql', async () => {
    await using origin = await openOriginWorld()
    const { knex, syncManager, other } = origin
    // There is no statement to execute: the cloud learns of a table with the table's first row.
    await knex.raw('CREATE TABLE labels (id INTEGER PRIMARY KEY, name TEXT)')
    await knex('labels').insert({ id: 1, name: 'urgent' })
    await syncManager.seed()
    await other.knex.raw('CREATE TABLE labels (id INTEGER PRIMARY KEY, name TEXT)')
    await other.syncManager.hydrate()
    expect(await other.knex('labels').select()).toEqual([{ id: 1, name: 'urgent' }])
  })
})

describe('Sync Operations', () => {
  it("Seed (Backup): const result = await syncManager.seed(['notifications', 'projects'], (progress) => {", async () => {
    await using origin = await openOriginWorld()
    const { syncManager, console, other } = origin
    await other.knex('projects').insert({ id: 'p2', name: 'Of the other device' })
    await other.syncManager.seed()

    const result = await syncManager.seed(['notifications', 'projects'], (progress) => {
      console.log(`${progress.percentage}% - ${progress.message}`)
    })

    console.log(`Seeded ${result.recordsProcessed} records`)

    expect(console.lines.at(0)).toBe('0% - Connecting')
    expect(console.lines.at(-2)).toBe('100% - Up to date')
    expect(console.lines.at(-1)).toBe('Seeded 3 records')
    expect(result.tables).toEqual({
      notifications: { pushed: 2, received: 0, conflicts: 0 },
      projects: { pushed: 1, received: 0, conflicts: 0 },
    })
    expect(await origin.knex('projects').pluck('id')).toEqual(['p1'])
    await other.syncManager.hydrate()
    expect(await other.knex('projects').orderBy('id').pluck('id')).toEqual(['p1', 'p2'])
    expect(await other.knex('notifications').orderBy('id').pluck('id')).toEqual(['n1', 'n2'])
  })

  it("Hydrate (Restore): const result = await syncManager.hydrate(['notifications'], (progress) => {", async () => {
    await using origin = await openOriginWorld()
    const { console } = origin
    await origin.syncManager.seed()
    const { knex, syncManager } = origin.other
    await knex('projects').insert({ id: 'p2', name: 'Not sent' })
    await knex('notifications').insert({ id: 'n3', title: 'Not sent either', status: 'unread' })

    const result = await syncManager.hydrate(['notifications'], (progress) => {
      console.log(`${progress.percentage}% - ${progress.message}`)
    })

    console.log(`Restored ${result.recordsProcessed} records`)

    expect(console.lines.at(0)).toBe('0% - Connecting')
    expect(console.lines.at(-2)).toBe('100% - Up to date')
    expect(console.lines.at(-1)).toBe('Restored 2 records')
    expect(await knex('notifications').orderBy('id').pluck('id')).toEqual(['n1', 'n2', 'n3'])
    expect(await knex('projects').pluck('id')).toEqual(['p2'])
    expect((await syncManager.getSyncStats()).pendingOperations).toBe(2)
  })

  it("Sync (Two-way): const result = await syncManager.sync(['notifications'], undefined, (progress) => {", async () => {
    await using origin = await openOriginWorld()
    const { syncManager, console } = origin
    await makeConflict(origin)
    await origin.other.knex('notifications').insert({ id: 'n3', title: 'New there', status: 'unread' })
    await origin.other.syncManager.sync()

    const result = await syncManager.sync(['notifications'], undefined, (progress) => {
      console.log(`${progress.percentage}% - ${progress.message}`)
    })

    console.log(`Synced ${result.recordsProcessed} records with ${result.conflicts.length} conflicts`)

    expect(console.lines.at(-2)).toBe('100% - Up to date')
    expect(console.lines.at(-1)).toBe(`Synced ${result.pushed + result.received} records with 1 conflicts`)
    expect(result.conflicts).toMatchObject([
      { entityType: 'notifications', entityId: 'n1', resolution: 'local', resolvedBy: 'newestWins' },
    ])
    expect(await origin.knex('notifications').orderBy('id').pluck('id')).toEqual(['n1', 'n2', 'n3'])
    expect(await statusOf(origin)).toBe('read')
  })
})

describe('Conflict Resolution', () => {
  it("Built-in Strategies: import { ConflictResolvers } from './sync'", async () => {
    const strategies = [
      () => {
        // Newest timestamp wins
        const resolver = ConflictResolvers.newestWins
        return { resolver, stands: 'read' }
      },
      () => {
        // Local changes always win
        const resolver = ConflictResolvers.localWins
        return { resolver, stands: 'read' }
      },
      () => {
        // Remote changes always win
        const resolver = ConflictResolvers.remoteWins
        return { resolver, stands: 'archived' }
      },
      () => {
        // Custom notification resolver
        const resolver = ConflictResolvers.notificationResolver
        return { resolver, stands: 'archived' }
      },
    ]
    for (const strategy of strategies) {
      await using origin = await openOriginWorld()
      const { resolver, stands } = strategy()
      await makeConflict(origin)
      await origin.syncManager.sync(undefined, resolver)
      expect(await statusOf(origin)).toBe(stands)
      await origin.other.syncManager.sync()
      expect(await statusOf(origin.other)).toBe(stands)
    }
  })

  it('Custom Resolver: const customResolver = async (conflict) => {', async () => {
    await using origin = await openOriginWorld()
    const { syncManager } = origin
    await makeConflict(origin)

    const customResolver = async (conflict: SyncConflict) => {
      // Custom logic based on your business rules
      if (conflict.entityType === 'notifications') {
        // Prefer read status from local
        if (conflict.localData.status === 'read') {
          return 'local'
        }
      }

      // Default to newest
      return conflict.localTimestamp > conflict.remoteTimestamp ? 'local' : 'remote'
    }

    const result = await syncManager.sync(undefined, customResolver)

    expect(result.conflicts).toMatchObject([{ resolution: 'local', resolvedBy: 'customResolver' }])
    expect(await statusOf(origin)).toBe('read')
  })

  it("Factory Resolvers: import { ConflictResolverFactory } from './sync'", async () => {
    await using origin = await openOriginWorld()
    const { syncManager } = origin
    await makeConflict(origin)

    // Pre-configured resolvers for different entity types
    const notificationResolver = ConflictResolverFactory.createNotificationResolver()
    const projectResolver = ConflictResolverFactory.createProjectResolver()
    const settingsResolver = ConflictResolverFactory.createSettingsResolver()

    syncManager.updateConfig({
      resolver: settingsResolver,
      resolvers: { notifications: notificationResolver, projects: projectResolver },
    })
    const result = await syncManager.sync()
    expect(result.conflicts).toMatchObject([{ resolvedBy: 'notificationResolver' }])
    expect(await statusOf(origin)).toBe('archived')
  })
})

describe('Device Management', () => {
  it('Device Registration: const deviceInfo = await syncManager.getLocalDevice()', async () => {
    await using origin = await openOriginWorld()
    const { syncManager, console } = origin

    const deviceInfo = await syncManager.getLocalDevice()
    console.log(`Device: ${deviceInfo.deviceName} (${deviceInfo.deviceId})`)

    // Register with cloud
    if (syncManager.getProvider()) {
      await syncManager.getProvider()?.registerDevice('My Laptop')
    }

    expect(console.lines[0]).toMatch(/^Device: .+ \([0-9a-f-]{36}\)$/)
    expect(await syncManager.getLocalDevice()).toMatchObject({
      deviceId: deviceInfo.deviceId,
      deviceName: 'My Laptop',
    })
  })

  it('Multi-Device Sync: const devices = await provider.getRegisteredDevices()', async () => {
    await using origin = await openOriginWorld()
    const { console } = origin
    const provider = origin.syncManager.getProvider()!
    await provider.registerDevice('My Laptop')
    await origin.other.syncManager.getProvider()?.registerDevice('Old desktop')
    const { deviceId } = await origin.other.syncManager.getLocalDevice()

    // Get all registered devices
    const devices = await provider.getRegisteredDevices()
    console.log(`Found ${devices.length} registered devices`)

    // Deregister a device
    await provider.deregisterDevice(deviceId)

    expect(console.lines).toEqual(['Found 2 registered devices'])
    expect(devices.map((device) => device.deviceName).sort()).toEqual(['My Laptop', 'Old desktop'])
    await expect(origin.other.syncManager.sync()).rejects.toMatchObject({ code: 'device_deregistered' })
    await expect(origin.syncManager.sync()).resolves.toMatchObject({ operation: 'sync' })
  })
})

describe('Event Handling', () => {
  it("Sync Events: syncManager.addEventListener('sync_started', (event) => {", async () => {
    await using origin = await openOriginWorld()
    const { syncManager, console } = origin
    await makeConflict(origin)

    syncManager.addEventListener('sync_started', (event) => {
      console.log('Sync started:', event.data)
    })

    syncManager.addEventListener('sync_progress', (event) => {
      console.log('Progress:', event.data.progress)
    })

    syncManager.addEventListener('sync_completed', (event) => {
      console.log('Sync completed:', event.data.result)
    })

    syncManager.addEventListener('sync_error', (event) => {
      console.error('Sync error:', event.data.error)
    })

    syncManager.addEventListener('conflict_detected', (event) => {
      console.log('Conflict detected:', event.data)
    })

    const result = await syncManager.sync()
    const kinds = console.lines.filter((line, at) => line !== console.lines[at - 1])
    expect(kinds.at(0)).toBe('Sync started:')
    expect(kinds.at(-1)).toBe('Sync completed:')
    expect(kinds).toContain('Progress:')
    expect(kinds).toContain('Conflict detected:')
    expect(console.values.at(0)).toEqual({ operation: 'sync', tables: null })
    expect(console.values.at(-1)).toBe(result)
    expect(console.values).toContainEqual(result.conflicts[0])

    console.lines.length = 0
    await origin.world.cloud.close()
    await expect(syncManager.sync()).rejects.toThrow('Not connected')
    expect(console.lines.at(-1)).toBe('Sync error:')
    expect(console.values.at(-1)).toMatchObject({ code: 'network' })
  })
})

describe('Auto-Sync', () => {
  it('Enable Auto-Sync: syncManager.updateConfig({', async () => {
    await using origin = await openOriginWorld()
    const { syncManager } = origin
    const completed = new Promise((resolve) => syncManager.addEventListener('sync_completed', resolve))

    syncManager.updateConfig({
      autoSyncEnabled: true,
      autoSyncInterval: 15, // 15 minutes
    })

    syncManager.startAutoSync()

    expect(syncManager.getConfig()).toMatchObject({ autoSyncEnabled: true, autoSyncInterval: 15 })
    await completed
    await origin.other.syncManager.sync()
    expect(await origin.other.knex('notifications').pluck('id')).toEqual(['n1', 'n2'])
  })

  it('Disable Auto-Sync: syncManager.stopAutoSync()', async () => {
    await using origin = await openOriginWorld()
    const { syncManager } = origin
    let started = 0
    syncManager.addEventListener('sync_started', () => void started++)
    syncManager.startAutoSync()
    expect(syncManager.getConfig().autoSyncEnabled).toBe(true)

    syncManager.stopAutoSync()

    expect(syncManager.getConfig().autoSyncEnabled).toBe(false)
    await syncManager.sync()
    expect(started).toBe(1)
  })
})

describe('Retry Queue', () => {
  /** A refused row, which failed at once. */
  async function openFailed(): Promise<OriginWorld> {
    const origin = await openOriginWorld()
    vi.stubEnv('SYNC_MAX_RETRIES', '1')
    const { knex } = origin
    await knex('notifications').insert({ id: LONG_KEY, title: 'refused' })
    await origin.own(await createSyncManager(knex)).sync()
    return origin
  }

  it("Queue Statistics: import { RetryQueue } from './sync'", async () => {
    await using origin = await openFailed()
    const { knex, console } = origin
    await knex('projects').insert({ id: 'p2', name: 'Waits' })

    const retryQueue = new RetryQueue(knex)
    const stats = await retryQueue.getStats()

    console.log(`Pending: ${stats.pending}, Failed: ${stats.failed}`)

    expect(console.lines).toEqual(['Pending: 1, Failed: 1'])
  })

  it('Manual Queue Management: await retryQueue.clearCompleted(24)', async () => {
    await using origin = await openFailed()
    const { knex } = origin
    const retryQueue = new RetryQueue(knex)

    // Refused as too large, and mended by hand.
    await knex('notifications').insert({ id: 'n3', title: 'x'.repeat(17 * 1024 * 1024) })
    await origin.syncManager.sync()
    expect(await retryQueue.getStats()).toMatchObject({ pending: 0, failed: 2 })
    await knex('notifications').where({ id: 'n3' }).update({ title: 'short' })
    await origin.syncManager.sync()
    expect(await retryQueue.getStats()).toEqual({ pending: 0, failed: 1, completed: 1, total: 2 })

    // Clear completed operations
    await retryQueue.clearCompleted(24) // older than 24 hours

    // Retry all failed operations
    await retryQueue.retryAllFailed()

    expect(await retryQueue.getStats()).toMatchObject({ pending: 1, failed: 0, completed: 1 })
    await origin.syncManager.sync()
    expect(await retryQueue.getStats()).toMatchObject({ pending: 0, failed: 1, completed: 1 })

    // Clear all failed operations
    await retryQueue.clearFailed()

    expect(await retryQueue.getStats()).toMatchObject({ pending: 0, failed: 0, completed: 1 })
    expect(await knex('notifications').orderBy('id').pluck('id')).toEqual(['n1', 'n2', 'n3'])
    expect(await retryQueue.clearCompleted(0)).toBe(1)
  })
})

describe('Monitoring & Statistics', () => {
  it('Sync Statistics: const stats = await syncManager.getSyncStats()', async () => {
    await using origin = await openOriginWorld()
    const { syncManager, console } = origin
    await makeConflict(origin)
    await syncManager.sync()
    await origin.knex('projects').insert({ id: 'p2', name: 'Waits' })

    const stats = await syncManager.getSyncStats()

    console.log(`Total records: ${stats.totalRecords}`)
    // oxlint-disable-next-line typescript/restrict-template-expressions
    console.log(`Last sync: ${stats.lastSyncTime}`)
    console.log(`Pending operations: ${stats.pendingOperations}`)
    console.log(`Conflicts resolved: ${stats.conflictsResolved}`)

    // Recent sync history
    stats.syncHistory.forEach((entry) => {
      // oxlint-disable-next-line typescript/restrict-template-expressions
      console.log(`${entry.timestamp}: ${entry.operation} - ${entry.recordsProcessed} records`)
    })

    expect(console.lines.slice(0, 4)).toEqual([
      'Total records: 4',
      `Last sync: ${String(stats.syncHistory[0]?.timestamp)}`,
      'Pending operations: 1',
      'Conflicts resolved: 1',
    ])
    expect(console.lines.slice(4)).toEqual([
      expect.stringMatching(/: sync - [12] records$/),
      expect.stringMatching(/: sync - 3 records$/),
    ])
  })

  it('Provider Status: const provider = syncManager.getProvider()', async () => {
    await using origin = await openOriginWorld()
    const { syncManager, console } = origin
    await syncManager.sync()

    const provider = syncManager.getProvider()

    if (provider) {
      console.log(`Provider: ${provider.name}`)
      console.log(`Connected: ${provider.isConnected}`)

      const connectionValid = await provider.validateConnection()
      console.log(`Connection valid: ${connectionValid}`)
    }

    expect(console.lines).toEqual([
      `Provider: cloud ${new URL(origin.world.cloud.url).host}`,
      'Connected: true',
      'Connection valid: true',
    ])
  })
})

it('Environment Variables: # Supabase Configuration', async () => {
  await using origin = await openOriginWorld()
  const environment = parseEnv(`
    # Tidemark Configuration
    TIDEMARK_ENDPOINT=https://your-cloud.example
    TIDEMARK_TOKEN=your-token

    # Optional: Auto-sync settings
    SYNC_AUTO_ENABLED=true
    SYNC_INTERVAL_MINUTES=31
    SYNC_BATCH_SIZE=51
    SYNC_MAX_RETRIES=4
  `)
  const fetch = () => Promise.reject(new Error('nobody is there'))
  const syncManager = await createSyncManager(origin.knex, { environment, fetch })
  origin.own(syncManager)
  expect(isSyncAvailable({}, environment)).toBe(true)
  expect(syncManager.getConfig()).toMatchObject({
    autoSyncEnabled: true,
    autoSyncInterval: 31,
    batchSize: 51,
    maxRetries: 4,
  })
})

describe('Error Handling', () => {
  it('Common Errors: try {', async () => {
    await using origin = await openOriginWorld()
    const { knex, console, world } = origin

    const trySync = async (syncManager: { sync(): Promise<unknown> }) => {
      try {
        await syncManager.sync()
      } catch (thrown) {
        const error = thrown as Error
        if (error.message.includes('Not connected')) {
          // Handle connection issues
          console.log('Sync provider not connected')
        } else if (error.message.includes('Authentication')) {
          // Handle auth issues
          console.log('Authentication failed')
        } else {
          // Handle other errors
          console.error('Sync failed:', error)
        }
      }
    }

    await trySync(origin.own(await createSyncManager(knex, { environment: {} })))
    await trySync(await world.manager('stranger', knex, { token: 'tdm_unknown' }))
    await trySync({ sync: () => origin.syncManager.sync(['nothing of that name']) })
    await world.cloud.close()
    await trySync(origin.syncManager)
    expect(console.lines).toEqual([
      'Sync provider not connected',
      'Authentication failed',
      'Sync failed:',
      'Sync provider not connected',
    ])
    expect(console.values).toMatchObject([{ code: 'unprocessable' }])
  })

  it('Graceful Degradation: const syncAvailable = isSyncAvailable()', async () => {
    await using origin = await openOriginWorld()
    const { knex, console } = origin
    const look = () => {
      // The app works perfectly without sync
      const syncAvailable = isSyncAvailable()

      if (syncAvailable) {
        // Enable sync features in UI
        console.log('Cloud sync available')
      } else {
        // Hide sync features, app continues normally
        console.log('Running in offline-only mode')
      }
    }

    look()
    vi.stubEnv('TIDEMARK_ENDPOINT', undefined)
    look()
    expect(console.lines).toEqual(['Cloud sync available', 'Running in offline-only mode'])

    const syncManager = origin.own(await createSyncManager(knex))
    await knex('projects').insert({ id: 'p2', name: 'Offline' })
    expect(await knex('projects').pluck('id')).toEqual(['p1', 'p2'])
    expect(syncManager.getProvider()).toBe(null)
    await expect(syncManager.sync()).rejects.toMatchObject({ code: 'not_connected' })
    expect(await syncManager.getSyncStats()).toMatchObject({ syncHistory: [] })
  })
})

describe('Performance Considerations', () => {
  it('Batch Sizes: // Adjust based on your data size', async () => {
    await using origin = await openOriginWorld()
    const { syncManager } = origin

    // Adjust based on your data size
    syncManager.updateConfig({
      batchSize: 100, // Larger batches for better performance
    })

    expect(syncManager.getConfig().batchSize).toBe(100)
    expect((await syncManager.sync()).pushed).toBe(3)
  })

  it('Selective Sync: // Only sync specific entity types', async () => {
    await using origin = await openOriginWorld()
    const { syncManager } = origin

    // Only sync specific entity types
    await syncManager.sync(['notifications']) // Skip other entities

    await origin.other.syncManager.sync()
    expect(await origin.other.knex('notifications').pluck('id')).toEqual(['n1', 'n2'])
    expect(await origin.other.knex('projects').pluck('id')).toEqual([])
    await syncManager.sync()
    await origin.other.syncManager.sync()
    expect(await origin.other.knex('projects').pluck('id')).toEqual(['p1'])
  })

  it('Debounced Sync: let syncTimeout', async () => {
    await using origin = await openOriginWorld()
    const { syncManager, console } = origin
    let started = 0
    syncManager.addEventListener('sync_started', () => void started++)
    const completed = () => new Promise((resolve) => syncManager.addEventListener('sync_completed', resolve))
    const waitFiveSeconds = async (): Promise<void> => {
      const done = completed()
      vi.advanceTimersByTime(5_000)
      vi.useRealTimers()
      await done
    }

    let syncTimeout: NodeJS.Timeout | undefined

    function triggerSync() {
      clearTimeout(syncTimeout)
      syncTimeout = setTimeout(() => {
        syncManager.performSync().catch(console.error)
      }, 5000) // Wait 5 seconds after last change
    }

    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    for (let change = 0; change < 3; change++) {
      triggerSync()
      await vi.advanceTimersByTimeAsync(4_999)
    }
    expect(started).toBe(0)
    await waitFiveSeconds()
    expect(started).toBe(1)

    // The same, ready-made.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    using trigger = debounceSync(syncManager)
    for (let change = 0; change < 3; change++) {
      trigger()
      await vi.advanceTimersByTimeAsync(4_999)
    }
    expect(started).toBe(1)
    await waitFiveSeconds()
    expect(started).toBe(2)
    expect(console.lines).toEqual([])
  })
})

describe('Troubleshooting', () => {
  it('Debug Mode: // Enable verbose logging', async () => {
    await using origin = await openOriginWorld()
    const { syncManager, console } = origin
    await syncManager.sync()

    // Enable verbose logging
    console.log('Sync config:', syncManager.getConfig())
    console.log('Device info:', await syncManager.getLocalDevice())
    console.log('Sync stats:', await syncManager.getSyncStats())

    expect(console.lines).toEqual(['Sync config:', 'Device info:', 'Sync stats:'])
    expect(console.values).toMatchObject([
      { batchSize: 50 },
      { deviceId: expect.any(String), deviceName: expect.any(String) },
      { totalRecords: 3, pendingOperations: 0 },
    ])
    expect(JSON.stringify(console.values)).not.toContain(origin.world.cloud.token)
  })

  it('Health Check: async function healthCheck() {', async () => {
    await using origin = await openOriginWorld()
    const { knex, world } = origin
    let syncManager = origin.own(await createSyncManager(knex, { environment: {} }))

    async function healthCheck() {
      const provider = syncManager.getProvider()

      if (!provider) {
        return { status: 'no-provider', message: 'No sync provider configured' }
      }

      if (!provider.isConnected) {
        return { status: 'disconnected', message: 'Provider not connected' }
      }

      const isValid = await provider.validateConnection()
      if (!isValid) {
        return { status: 'invalid', message: 'Connection validation failed' }
      }

      return { status: 'healthy', message: 'Sync system operational' }
    }

    const ask = async () => {
      const byHand = await healthCheck()
      expect(await syncManager.healthCheck()).toEqual(byHand)
      return byHand
    }
    expect(await ask()).toEqual({ status: 'no-provider', message: 'No sync provider configured' })

    const { token, id } = await world.cloud.makeToken()
    syncManager = await world.manager('laptop', knex, { token })
    await syncManager.sync()
    expect(await ask()).toEqual({ status: 'healthy', message: 'Sync system operational' })

    await world.cloud.directory.revokeToken(id)
    for (const device of await world.cloud.directory.listDevices('ours'))
      await world.cloud.directory.deregisterDevice('ours', device.id)
    expect(await ask()).toEqual({ status: 'invalid', message: 'Connection validation failed' })

    await world.cloud.close()
    await syncManager.getProvider()?.validateConnection()
    expect(await ask()).toEqual({ status: 'disconnected', message: 'Provider not connected' })
  })
})
