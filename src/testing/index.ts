export { scriptedModel } from '../models/scripted.ts'
export type {
  ReplyFunction,
  ScriptedError,
  ScriptedModel,
  ScriptedModelOptions,
  ScriptedReply,
  ScriptedToolCall,
  ScriptedTurn,
} from '../models/scripted.ts'
export { createFakeClock } from './fake-clock.ts'
export type { FakeClock } from './fake-clock.ts'
export { createTestServer } from './test-server.ts'
export type { TestServer, TestServerOptions } from './test-server.ts'
