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
export { assertEvents } from './assert-events.ts'
export type { EventMatch, EventPattern } from './assert-events.ts'
export { createFakeClock } from './fake-clock.ts'
export type { FakeClock } from './fake-clock.ts'
export { fixtureModel } from './fixture-model.ts'
export type { FixtureModelOptions } from './fixture-model.ts'
export type { AsymmetricMatcher, FieldPattern } from './match-fields.ts'
export type { FixturePath } from './model-fixture.ts'
export { recordModel } from './record-model.ts'
export type { FixtureModel, RecordModelOptions } from './record-model.ts'
export type { NormaliseText } from './recorded-request.ts'
export { replayModel } from './replay-model.ts'
export type { ReplayMatch, ReplayModelOptions } from './replay-model.ts'
export type { LiveRun, TestDecision, TestRun, TestRunInput, TestRuns, TestToolCall } from './test-runs.ts'
export { createTestServer } from './test-server.ts'
export type { TestServer, TestServerOptions } from './test-server.ts'
export { createUpstreamServer, errorReply, jsonReply, streamReply } from './upstream-server.ts'
export type {
  StreamReplyOptions,
  UpstreamAnswer,
  UpstreamReply,
  UpstreamRequest,
  UpstreamServer,
  UpstreamServerOptions,
  UpstreamStep,
  UpstreamToolCall,
} from './upstream-server.ts'
