"""All blocks of a job file (Nomad's jobspec2), but for Consul's connect, which `connectblocks` has."""

from __future__ import annotations

from typing import Any

from kokiris.orchestrator.jobspec.connectblocks import CONNECT
from kokiris.orchestrator.jobspec.schema import LISTS, OPAQUE, STRINGS, Spec, by_label, fields, many, one
from kokiris.orchestrator.jobspec.taskblocks import (
    CHECK_RESTART,
    CONSTRAINT,
    IDENTITY,
    LOGS,
    NETWORK,
    RESOURCES,
    VOLUME_MOUNT,
    shorthand,
)

AFFINITY = Spec(
    fields=fields("""
        attribute LTarget str
        value RTarget str
        operator Operand str
        weight Weight int
        version version str
        semver semver str
        regexp regexp str
        set_contains set_contains str
        set_contains_all set_contains_all str
        set_contains_any set_contains_any str
    """),
    finish=shorthand,
)
SPREAD = Spec(
    fields=fields("""
        attribute Attribute str
        weight Weight int
    """),
    blocks={"target": many("SpreadTarget", Spec(labels=("Value",), fields=fields("percent Percent int")))},
)
UPDATE = Spec(
    fields=fields("""
        stagger Stagger duration
        max_parallel MaxParallel int
        health_check HealthCheck str
        min_healthy_time MinHealthyTime duration
        healthy_deadline HealthyDeadline duration
        progress_deadline ProgressDeadline duration
        canary Canary int
        auto_revert AutoRevert bool
        auto_promote AutoPromote bool
    """)
)
MIGRATE = Spec(
    fields=fields("""
        max_parallel MaxParallel int
        health_check HealthCheck str
        min_healthy_time MinHealthyTime duration
        healthy_deadline HealthyDeadline duration
    """)
)
RESTART = Spec(
    fields=fields("""
        interval Interval duration
        attempts Attempts int
        delay Delay duration
        mode Mode str
        render_templates RenderTemplates bool
    """)
)
RESCHEDULE = Spec(
    fields=fields("""
        attempts Attempts int
        interval Interval duration
        delay Delay duration
        delay_function DelayFunction str
        max_delay MaxDelay duration
        unlimited Unlimited bool
    """)
)
VAULT = Spec(
    fields=fields("""
        policies Policies strings
        role Role str
        namespace Namespace str
        cluster Cluster str
        env Env bool
        disable_file DisableFile bool
        change_mode ChangeMode str
        change_signal ChangeSignal str
        allow_token_expiration AllowTokenExpiration bool
    """)
)
CONSUL = Spec(
    fields=fields("""
        namespace Namespace str
        cluster Cluster str
        partition Partition str
    """)
)
SECRET = Spec(
    labels=("Name",),
    fields=fields("""
        provider Provider str
        path Path str
    """),
    blocks={"config": one("Config", OPAQUE), "env": one("Env", STRINGS)},
)
SCALING = Spec(
    fields=fields("""
        min Min int
        max Max int
        enabled Enabled bool
        type Type str
    """),
    blocks={"policy": one("Policy", OPAQUE)},
)
CHECK = Spec(
    fields=fields("""
        name Name str
        type Type str
        command Command str
        args Args strings
        path Path str
        protocol Protocol str
        port PortLabel str
        expose Expose bool
        address_mode AddressMode str
        advertise Advertise str
        interval Interval duration
        timeout Timeout duration
        initial_status InitialStatus str
        notes Notes str
        tls_server_name TLSServerName str
        tls_skip_verify TLSSkipVerify bool
        method Method str
        grpc_service GRPCService str
        grpc_use_tls GRPCUseTLS bool
        task TaskName str
        success_before_passing SuccessBeforePassing int
        failures_before_critical FailuresBeforeCritical int
        failures_before_warning FailuresBeforeWarning int
        body Body str
        on_update OnUpdate str
    """),
    blocks={"header": one("Header", LISTS), "check_restart": one("CheckRestart", CHECK_RESTART)},
)
SERVICE = Spec(
    fields=fields("""
        name Name str
        tags Tags strings
        canary_tags CanaryTags strings
        enable_tag_override EnableTagOverride bool
        port PortLabel str
        address_mode AddressMode str
        address Address str
        task TaskName str
        on_update OnUpdate str
        provider Provider str
        cluster Cluster str
        kind Kind str
    """),
    blocks={
        "check": many("Checks", CHECK),
        "check_restart": one("CheckRestart", CHECK_RESTART),
        "connect": one("Connect", CONNECT),
        "meta": one("Meta", STRINGS),
        "canary_meta": one("CanaryMeta", STRINGS),
        "tagged_addresses": one("TaggedAddresses", STRINGS),
        "identity": one("Identity", IDENTITY),
        "weights": one("Weights", Spec(fields=fields("passing Passing int\nwarning Warning int"))),
    },
)
TEMPLATE = Spec(
    fields=fields("""
        source SourcePath str
        destination DestPath str
        data EmbeddedTmpl str
        change_mode ChangeMode str
        change_signal ChangeSignal str
        once Once bool
        splay Splay duration
        perms Perms str
        uid Uid int
        gid Gid int
        left_delimiter LeftDelim str
        right_delimiter RightDelim str
        env Envvars bool
        vault_grace VaultGrace duration
        error_on_missing_key ErrMissingKey bool
    """),
    blocks={
        "wait": one("Wait", Spec(fields=fields("min Min duration!\nmax Max duration!"))),
        "change_script": one(
            "ChangeScript",
            Spec(
                fields=fields("""
                    command Command str!
                    args Args strings
                    timeout Timeout duration
                    fail_on_error FailOnError bool
                    run_on_first_render RunOnFirstRender bool
                """)
            ),
        ),
    },
)
ARTIFACT = Spec(
    fields=fields("""
        source GetterSource str
        mode GetterMode str
        insecure GetterInsecure bool
        destination RelativeDest str
        chown Chown bool
    """),
    blocks={"options": one("GetterOptions", STRINGS), "headers": one("GetterHeaders", STRINGS)},
)
TASK = Spec(
    labels=("Name",),
    fields=fields("""
        driver Driver str
        user User str
        kill_timeout KillTimeout duration
        leader Leader bool
        shutdown_delay ShutdownDelay duration
        kill_signal KillSignal str
        kind Kind str
    """),
    blocks={
        "config": one("Config", OPAQUE),
        "env": one("Env", STRINGS),
        "meta": one("Meta", STRINGS),
        "lifecycle": one("Lifecycle", Spec(fields=fields("hook Hook str!\nsidecar Sidecar bool"))),
        "constraint": many("Constraints", CONSTRAINT),
        "affinity": many("Affinities", AFFINITY),
        "service": many("Services", SERVICE),
        "resources": one("Resources", RESOURCES),
        "restart": one("RestartPolicy", RESTART),
        "logs": one("LogConfig", LOGS),
        "artifact": many("Artifacts", ARTIFACT),
        "vault": one("Vault", VAULT),
        "consul": one("Consul", CONSUL),
        "template": many("Templates", TEMPLATE),
        "dispatch_payload": one("DispatchPayload", Spec(fields=fields("file File str"))),
        "volume_mount": many("VolumeMounts", VOLUME_MOUNT),
        "csi_plugin": one(
            "CSIPluginConfig",
            Spec(
                fields=fields("""
                    id ID str
                    type Type str
                    mount_dir MountDir str
                    stage_publish_base_dir StagePublishBaseDir str
                    health_timeout HealthTimeout duration
                """)
            ),
        ),
        "scaling": many("ScalingPolicies", Spec(labels=("Name",), fields=SCALING.fields, blocks=SCALING.blocks)),
        "secret": many("Secrets", SECRET),
        "identity": many("Identities", IDENTITY),
        "action": many("Actions", Spec(labels=("Name",), fields=fields("command Command str!\nargs Args strings"))),
        "schedule": one(
            "Schedule",
            Spec(
                blocks={"cron": one("Cron", Spec(fields=fields("start Start str\nend End str\ntimezone Timezone str")))}
            ),
        ),
    },
)
DISCONNECT = Spec(
    fields=fields("""
        lost_after LostAfter duration
        stop_on_client_after StopOnClientAfter duration
        replace Replace bool
        reconcile Reconcile str
    """)
)
VOLUME = Spec(
    labels=("Name",),
    fields=fields("""
        type Type str
        source Source str
        read_only ReadOnly bool
        sticky Sticky bool
        access_mode AccessMode str
        attachment_mode AttachmentMode str
        per_alloc PerAlloc bool
    """),
    blocks={
        "mount_options": one("MountOptions", Spec(fields=fields("fs_type FSType str\nmount_flags MountFlags strings")))
    },
)
GROUP = Spec(
    labels=("Name",),
    fields=fields("""
        count Count int
        shutdown_delay ShutdownDelay duration
        max_run_duration MaxRunDuration duration
        stop_after_client_disconnect StopAfterClientDisconnect duration
        max_client_disconnect MaxClientDisconnect duration
        prevent_reschedule_on_lost PreventRescheduleOnLost bool
    """),
    blocks={
        "task": many("Tasks", TASK),
        "network": many("Networks", NETWORK),
        "service": many("Services", SERVICE),
        "constraint": many("Constraints", CONSTRAINT),
        "affinity": many("Affinities", AFFINITY),
        "spread": many("Spreads", SPREAD),
        "volume": by_label("Volumes", VOLUME),
        "restart": one("RestartPolicy", RESTART),
        "disconnect": one("Disconnect", DISCONNECT),
        "reschedule": one("ReschedulePolicy", RESCHEDULE),
        "ephemeral_disk": one(
            "EphemeralDisk", Spec(fields=fields("sticky Sticky bool\nmigrate Migrate bool\nsize SizeMB int"))
        ),
        "update": one("Update", UPDATE),
        "migrate": one("Migrate", MIGRATE),
        "meta": one("Meta", STRINGS),
        "scaling": one("Scaling", SCALING),
        "consul": one("Consul", CONSUL),
        "vault": one("vault", VAULT),
        "secret": many("secret", SECRET),
    },
)
MULTIREGION = Spec(
    blocks={
        "strategy": one("Strategy", Spec(fields=fields("max_parallel MaxParallel int\non_failure OnFailure str"))),
        "region": many(
            "Regions",
            Spec(
                labels=("Name",),
                fields=fields("count Count int\ndatacenters Datacenters strings\nnode_pool NodePool str"),
                blocks={"meta": one("Meta", STRINGS)},
            ),
        ),
    }
)


def _periodic(decoded: dict[str, Any]) -> dict[str, Any]:
    if "Spec" in decoded or "Specs" in decoded:
        decoded["SpecType"] = "cron"
    return decoded


JOB = Spec(
    labels=("label",),
    fields=fields("""
        id ID str
        name Name str
        type Type str
        region Region str
        namespace Namespace str
        priority Priority int
        all_at_once AllAtOnce bool
        datacenters Datacenters strings
        node_pool NodePool str
        consul_namespace ConsulNamespace str
        vault_namespace VaultNamespace str
    """),
    blocks={
        "group": many("TaskGroups", GROUP),
        "task": many("task", TASK),
        "constraint": many("Constraints", CONSTRAINT),
        "affinity": many("Affinities", AFFINITY),
        "spread": many("Spreads", SPREAD),
        "update": one("Update", UPDATE),
        "multiregion": one("Multiregion", MULTIREGION),
        "periodic": one(
            "Periodic",
            Spec(
                fields=fields("""
                    enabled Enabled bool
                    cron Spec str
                    crons Specs strings
                    prohibit_overlap ProhibitOverlap bool
                    time_zone TimeZone str
                """),
                finish=_periodic,
            ),
        ),
        "parameterized": one(
            "ParameterizedJob",
            Spec(
                fields=fields("""
                    payload Payload str
                    meta_required MetaRequired strings
                    meta_optional MetaOptional strings
                """)
            ),
        ),
        "reschedule": one("Reschedule", RESCHEDULE),
        "migrate": one("Migrate", MIGRATE),
        "meta": one("Meta", STRINGS),
        "ui": one(
            "UI",
            Spec(
                fields=fields("description Description str"),
                blocks={"link": many("Links", Spec(fields=fields("label Label str\nurl URL str")))},
            ),
        ),
        "vault": one("vault", VAULT),
        "secret": many("secret", SECRET),
    },
)
