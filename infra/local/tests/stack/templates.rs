//! Templates: the repository's own is understood, and what is not understood is refused with its path.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use carteiro_local::Template;

const SQS: &str = "http://127.0.0.1:3003";

fn parse(text: &str) -> Result<Template, String> {
    Template::parse(text, &BTreeMap::new(), SQS).map_err(|error| error.to_string())
}

fn read(parameters: &[(&str, &str)]) -> Result<Template, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let given = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Template::read(&path, &given, SQS).map_err(|error| error.to_string())
}

#[test]
fn the_repositorys_template_is_understood() {
    let key = "0".repeat(64);
    let template =
        read(&[("AdminKeySha256", &key), ("CollectMinutes", "5"), ("DeliverConcurrency", "7")]).unwrap();
    for name in ["CheckFunction", "IngestFunction", "CollectFunction", "DeliverFunction", "ManageFunction"] {
        assert!(template.functions.contains_key(name), "{name}");
    }
    let deliver = &template.functions["DeliverFunction"];
    assert_eq!((deliver.binary.as_str(), deliver.timeout), ("deliver", Duration::from_secs(30)));
    assert_eq!(deliver.environment["DELIVER_QUEUE_URL"], format!("{SQS}/000000000000/DeliverQueue"));
    let mapping = template.queue_mappings.iter().find(|mapping| mapping.queue == "DeliverQueue").unwrap();
    assert_eq!((mapping.batch_size, mapping.maximum_concurrency), (10, Some(7)));
    assert!(mapping.report_item_failures);
    let tick = template.schedules.iter().find(|schedule| schedule.name == "carteiro-tick").unwrap();
    assert_eq!((tick.every, tick.function.as_str()), (Duration::from_secs(300), "CollectFunction"));
    let one = read(&[("AdminKeySha256", &key), ("CollectMinutes", "1")]).unwrap();
    assert_eq!(one.schedules[0].every, Duration::from_secs(60));
    assert!(template.routes.iter().any(|route| route.path == "/bots/{bot}/messages"));
    assert!(template.tables.contains_key("ConfigTable"));
}

#[test]
fn the_repositorys_parameters_are_checked() {
    assert_eq!(read(&[]).unwrap_err(), "parameter AdminKeySha256 has no default and must be given");
    let key = "0".repeat(64);
    for (name, value, expected) in [
        ("AdminKeySha256", "short", "parameter AdminKeySha256 does not match ^(?:^[0-9a-f]{64}$)$"),
        ("CollectMinutes", "16", "parameter CollectMinutes must be at most 15"),
        ("DeliverConcurrency", "1", "parameter DeliverConcurrency must be at least 2"),
        ("FailureThreshold", "many", "parameter FailureThreshold is not a number"),
        ("Architecture", "mips", "parameter Architecture must be one of arm64, x86_64"),
        ("Nonsense", "1", "the template has no parameter Nonsense"),
    ] {
        let mut given = BTreeMap::from([("AdminKeySha256", key.as_str())]);
        given.insert(name, value);
        let given: Vec<_> = given.into_iter().collect();
        assert_eq!(read(&given).unwrap_err(), expected);
    }
}

/// A function with these lines among its properties, and a queue.
fn with_function(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        "Transform: AWS::Serverless-2016-10-31\n\
         Resources:\n\
         \x20 Api:\n    Type: AWS::Serverless::HttpApi\n\
         \x20 Q:\n    Type: AWS::SQS::Queue\n\
         \x20 F:\n    Type: AWS::Serverless::Function\n\
         \x20   Metadata: {{BuildMethod: rust-cargolambda, BuildProperties: {{Binary: f}}}}\n\
         \x20   Properties:\n      Runtime: provided.al2023\n{indented}"
    )
}

#[test]
fn a_function_that_is_not_understood_is_refused_with_its_path() {
    let at = "Resources.F.Properties";
    let event =
        |kind: &str, properties: &str| format!("Events: {{E: {{Type: {kind}, Properties: {properties}}}}}");
    let http = |properties: &str| event("HttpApi", &format!("{{ApiId: !Ref Api, {properties}}}"));
    let sqs = |properties: &str| event("SQS", &format!("{{Queue: !GetAtt Q.Arn, {properties}}}"));
    let schedule = |properties: &str| event("ScheduleV2", &format!("{{Input: '{{}}', {properties}}}"));
    let refused = |lines: &str, expected: &str| {
        assert_eq!(parse(&with_function(lines)).map(|_| ()), Err(format!("{at}{expected}")), "{lines}");
    };
    for (lines, expected) in [
        ("Layers: [x]", ".Layers: this property is not understood"),
        ("Timeout: 901", ".Timeout: 901 is not a whole number from 1 to 900"),
        ("Timeout: 1.5", ".Timeout: 1.5 is not a whole number from 1 to 900"),
        ("Tracing: Loud", ".Tracing: Loud is not understood (only Active, PassThrough, Disabled)"),
        ("DeploymentPreference: {Type: AllAtOnce}", ".DeploymentPreference: needs an AutoPublishAlias"),
        (
            "AutoPublishAlias: live\nDeploymentPreference: {Colour: red}",
            ".DeploymentPreference.Colour: this property is not understood",
        ),
        (
            "KmsKeyArn: arn:aws:kms:us-east-1:000000000000:key/K",
            ".Role: does not allow kms:Decrypt on arn:aws:kms:us-east-1:000000000000:key/K, which its environment needs",
        ),
        ("RecursiveLoop: Maybe", ".RecursiveLoop: Maybe is not understood (only Allow, Terminate)"),
        ("Architectures: [mips]", ".Architectures: only arm64 and x86_64 are understood"),
        (
            "Environment: {Variables: {A: !Ref Nothing}}",
            ".Environment.Variables.A: refers to Nothing, which does not exist",
        ),
        ("Environment: {Variables: {A: [1]}}", ".Environment.Variables.A: expected a text"),
        (
            "Environment: {Variables: {AWS_LAMBDA_X: a}}",
            ".Environment.Variables.AWS_LAMBDA_X: Lambda does not allow this name",
        ),
        (
            "Policies: [{Statement: [{Effect: Allow, Action: a}]}]",
            ".Policies[0].Statement[0]: Resource is required",
        ),
        (
            "Policies: [{Statement: [{Effect: Allow, Action: a, Resource: !GetAtt X.Arn}]}]",
            ".Policies[0].Statement[0].Resource: refers to X, which does not exist",
        ),
        (
            "Policies: [{SQSPollerPolicy: {QueueName: a}}]",
            ".Policies[0]: Statement is required (policy templates are not understood)",
        ),
        (
            "EventInvokeConfig: {MaximumRetryAttempts: 3}",
            ".EventInvokeConfig.MaximumRetryAttempts: 3 is not a whole number from 0 to 2",
        ),
        (
            "EventInvokeConfig: {DestinationConfig: {OnSuccess: {Type: SQS}}}",
            ".EventInvokeConfig.DestinationConfig.OnSuccess: this property is not understood",
        ),
    ] {
        refused(lines, expected);
    }
    for (lines, expected) in [
        (event("S3", "{}"), ".Events.E: the event type S3 is not understood"),
        (http("Method: GET, Path: a"), ".Events.E.Properties.Path: does not begin with /"),
        (http("Method: FETCH, Path: /a"), ".Events.E.Properties.Method: the method FETCH is not understood"),
        (
            http("Method: GET, Path: /a, Auth: {}"),
            ".Events.E.Properties.Auth: this property is not understood",
        ),
        (
            sqs("BatchSize: 11"),
            ".Events.E.Properties.BatchSize: above 10 needs a MaximumBatchingWindowInSeconds of at least 1",
        ),
        (
            sqs("ScalingConfig: {MaximumConcurrency: 1}"),
            ".Events.E.Properties.ScalingConfig.MaximumConcurrency: 1 is not a whole number from 2 to 1000",
        ),
        (sqs("FilterCriteria: {}"), ".Events.E.Properties.FilterCriteria: this property is not understood"),
        (
            format!("Timeout: 31\n{}", sqs("BatchSize: 1")),
            ".Events: the visibility timeout of Q is shorter than the function's timeout",
        ),
        (
            schedule("ScheduleExpression: every(15 minutes)"),
            ".Events.E.Properties.ScheduleExpression: every(15 minutes): only rate(…) is understood",
        ),
        (
            schedule("ScheduleExpression: rate(1 minute), StartDate: x"),
            ".Events.E.Properties.StartDate: this property is not understood",
        ),
    ] {
        refused(&lines, expected);
    }
    assert!(parse(&with_function("Timeout: 5")).is_ok());
}

#[test]
fn a_role_must_exist_and_allow_what_the_functions_events_need() {
    let at = "Resources.F.Properties";
    let role = |action: &str| {
        format!(
            "  R:\n    Type: AWS::IAM::Role\n    Properties: {{AssumeRolePolicyDocument: {{}}, Policies: [{{\
             PolicyName: p, PolicyDocument: {{Statement: [{{Effect: Allow, Action: [{action}], \
             Resource: !GetAtt Q.Arn}}]}}}}]}}\n"
        )
    };
    let woken = "Events: {E: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}}";
    let with_role = |lines: &str, actions: &str| {
        format!("{}{}", with_function(&format!("Role: !GetAtt R.Arn\n{lines}")), role(actions))
    };
    let take = "sqs:DeleteMessage, sqs:GetQueueAttributes, sqs:ReceiveMessage";
    assert_eq!(parse(&with_role(woken, take)).map(|_| ()), Ok(()));
    let failed =
        "EventInvokeConfig: {DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt Q.Arn}}}";
    for (text, expected) in [
        (
            with_role(woken, "sqs:DeleteMessage, sqs:GetQueueAttributes"),
            format!("{at}.Role: does not allow sqs:ReceiveMessage on Q, which its events need"),
        ),
        (
            with_role(failed, take),
            format!("{at}.Role: does not allow sqs:SendMessage on Q, which its events need"),
        ),
        (
            with_role("Policies: [AWSLambdaBasicExecutionRole]", take),
            format!("{at}.Policies: mean nothing beside a Role"),
        ),
        (
            with_function("Role: arn:aws:iam::000000000000:role/other"),
            format!("{at}.Role: is not the ARN of a role of the template"),
        ),
        (
            with_function("Policies: AmazonDynamoDBFullAccess"),
            format!(
                "{at}.Policies[0]: what the managed policy AmazonDynamoDBFullAccess grants is not known here"
            ),
        ),
    ] {
        assert_eq!(parse(&text).map(|_| ()), Err(expected), "{text}");
    }
}

/// A table under a key, and a function with a log group whose role allows these actions on each of them.
fn with_key(table: &str, key: &str, logs: &str) -> String {
    let statement = |actions: &str, resource: &str| {
        format!("{{Effect: Allow, Action: [{actions}], Resource: {resource}, Condition: CONDITION}}")
    };
    let condition = "{StringEquals: {'kms:ViaService': dynamodb.us-east-1.amazonaws.com}}";
    let on_table = statement(table, "!GetAtt T.Arn").replace(", Condition: CONDITION", "");
    let on_key = statement(key, "!GetAtt K.Arn").replace("CONDITION", condition);
    let on_logs = statement(logs, "!GetAtt L.Arn").replace(", Condition: CONDITION", "");
    format!(
        "{}  L:\n    Type: AWS::Logs::LogGroup\n  K:\n    Type: AWS::KMS::Key\n\
         \x20 T:\n    Type: AWS::DynamoDB::Table\n    Properties: {{BillingMode: PAY_PER_REQUEST, KeySchema: [], \
         AttributeDefinitions: [], SSESpecification: {{SSEEnabled: true, SSEType: KMS, KMSMasterKeyId: !GetAtt K.Arn}}}}\n\
         \x20 R:\n    Type: AWS::IAM::Role\n    Properties: {{AssumeRolePolicyDocument: {{}}, Policies: [{{PolicyName: p, \
         PolicyDocument: {{Statement: [{on_table}, {on_key}, {on_logs}]}}}}]}}\n",
        with_function("Role: !GetAtt R.Arn\nLoggingConfig: {LogGroup: !Ref L}")
    )
}

#[test]
fn a_role_must_allow_what_logs_and_a_tables_key_need() {
    let get = "dynamodb:GetItem";
    let key = "kms:Decrypt, kms:DescribeKey, kms:Encrypt, kms:GenerateDataKey*, kms:ReEncrypt*";
    let logs = "logs:CreateLogStream, logs:PutLogEvents";
    assert_eq!(parse(&with_key(get, key, logs)).map(|_| ()), Ok(()));
    let arn = "arn:aws:kms:us-east-1:000000000000:key/K";
    let without = |from: &str, action: &str| {
        let kept: Vec<_> = from.split(", ").filter(|kept| *kept != action).collect();
        kept.join(", ")
    };
    for action in key.split(", ") {
        let asked = action.replace("ReEncrypt*", "ReEncryptFrom").replace('*', "");
        let expected = format!("Resources.F.Properties.Role: does not allow {asked} on {arn}, which T needs");
        assert_eq!(parse(&with_key(get, &without(key, action), logs)).map(|_| ()), Err(expected));
    }
    for action in logs.split(", ") {
        let expected =
            format!("Resources.F.Properties.Role: does not allow {action} on L, which its logs need");
        assert_eq!(parse(&with_key(get, key, &without(logs, action))).map(|_| ()), Err(expected));
    }
}

#[test]
fn settings_without_a_meaning_on_one_machine_are_accepted() {
    let lines = "Tracing: Active\nAutoPublishAlias: live\nAutoPublishAliasAllProperties: true\n\
        DeploymentPreference: {Type: Canary10Percent5Minutes, Alarms: [!Ref Q]}\nTags: {a: b}";
    let text = format!(
        "{}  S:\n    Type: AWS::Logs::QueryDefinition\n    Properties: {{Name: a, QueryString: b}}\n\
         \x20 D:\n    Type: AWS::ApiGatewayV2::DomainName\n    Properties: {{DomainName: a.example}}\n\
         \x20 M:\n    Type: AWS::ApiGatewayV2::ApiMapping\n    Properties: {{Stage: !Ref Api.Stage}}\n\
         Outputs:\n  Alias: {{Value: !Ref F.Alias}}\n  Target: {{Value: !GetAtt D.RegionalDomainName}}\n",
        with_function(lines)
    );
    let outputs = parse(&text).unwrap().outputs;
    assert_eq!(outputs["Alias"], "arn:aws:lambda:us-east-1:000000000000:function:F:alias");
    assert_eq!(outputs["Target"], "D.RegionalDomainName");
    let without = text
        .replace("AutoPublishAlias: live", "Description: x")
        .replace("DeploymentPreference: {Type: Canary10Percent5Minutes, Alarms: [!Ref Q]}", "Description: x");
    assert!(parse(&without).is_err(), "there is no alias to refer to");
}

#[test]
fn throttling_of_a_route_that_is_not_there_is_refused() {
    let api = |route: &str| {
        with_function("Events: {E: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: /a}}}")
            .replace(
                "    Type: AWS::Serverless::HttpApi\n",
                &format!(
                    "    Type: AWS::Serverless::HttpApi\n    Properties: {{RouteSettings: {{{route}: \
                 {{ThrottlingRateLimit: 1}}}}}}\n"
                ),
            )
    };
    assert_eq!(parse(&api("GET /a")).map(|_| ()), Ok(()));
    assert_eq!(
        parse(&api("POST /a")).map(|_| ()),
        Err("RouteSettings: POST /a is no route of the HTTP API".to_owned())
    );
}

/// Keys and items may be in a path, a query, a header and a body.
#[test]
fn the_access_log_says_nothing_of_a_requests_content() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let variable = |rest: &str| rest.split(['"', '\'']).next().unwrap_or_default().to_owned();
    let logged: Vec<String> = text.split("$context.").skip(1).map(variable).collect();
    let allowed = ["routeKey", "status", "responseLatency", "identity.sourceIp", "error.responseType"];
    assert_eq!(logged, allowed);
}

#[test]
fn the_repositorys_domain_needs_a_certificate() {
    let key = "0".repeat(64);
    let domain = ("DomainName", "push.example.com");
    assert_eq!(
        read(&[("AdminKeySha256", &key), domain]).unwrap_err(),
        "rule DomainHasCertificate: DomainName needs DomainCertificateArn."
    );
    let certificate = "arn:aws:acm:us-east-1:000000000000:certificate/a-b";
    let template = read(&[("AdminKeySha256", &key), domain, ("DomainCertificateArn", certificate)]).unwrap();
    assert_eq!(template.outputs["ApiUrl"], "https://push.example.com");
    assert_eq!(template.outputs["XPushUrl"], "https://push.example.com/push/x");
    let environment = &template.functions["CollectFunction"].environment;
    assert_eq!(environment["PUSH_BASE_URL"], "https://push.example.com");
    assert_eq!(environment["API_BASE_URL"], "https://push.example.com");
    assert_eq!(template.functions["ManageFunction"].environment["OWN_HOSTS"], "push.example.com,");
    let deliver = &template.functions["DeliverFunction"].environment["OWN_HOSTS"];
    assert!(deliver.ends_with(",push.example.com,"), "{deliver}");
}

/// An address that is for networks alone leads nobody to the console.
#[test]
fn the_address_for_pushes_moves_those_of_people_nowhere() {
    let key = "0".repeat(64);
    let pushes = [("PushBaseUrl", "https://pushes.example.com/x"), ("OwnHosts", "pushes.example.com")];
    let certificate = "arn:aws:acm:us-east-1:000000000000:certificate/a-b";
    let domain = [("DomainName", "api.example.com"), ("DomainCertificateArn", certificate)];
    for (own, expected) in [
        (&domain[..0], "https://local.execute-api.us-east-1.amazonaws.com"),
        (&domain, "https://api.example.com"),
    ] {
        let given = [&[("AdminKeySha256", key.as_str())], &pushes[..], own].concat();
        let template = read(&given).unwrap();
        let environment = &template.functions["CollectFunction"].environment;
        assert_eq!(environment["API_BASE_URL"], expected);
        assert_eq!(environment["PUSH_BASE_URL"], "https://pushes.example.com/x");
    }
}

#[test]
fn a_template_that_is_not_understood_is_refused_with_its_path() {
    for (text, expected) in [
        ("a: [", "not a YAML template"),
        ("Resources: {}\nHooks: {}", "Hooks: this section is not understood"),
        (
            "Resources: {}\nRules: {R: {Assertions: [{Assert: !Equals [1, 2], AssertDescription: no}]}}",
            "rule R: no",
        ),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {RedriveAllowPolicy: {redrivePermission: some}}}}",
            "Resources.A.Properties.RedriveAllowPolicy.redrivePermission: some is not understood (only allowAll, \
             byQueue, denyAll)",
        ),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {RedriveAllowPolicy: {redrivePermission: byQueue}}}}",
            "Resources.A.Properties.RedriveAllowPolicy.sourceQueueArns: is for byQueue, which needs from 1 to 10 queues",
        ),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt D.Arn, \
             maxReceiveCount: 1}}}, D: {Type: AWS::SQS::Queue, Properties: {RedriveAllowPolicy: \
             {redrivePermission: denyAll}}}}",
            "Resources.A.Properties.RedrivePolicy: the RedriveAllowPolicy of D does not allow it",
        ),
        (
            "Resources: {A: {Type: AWS::Serverless::HttpApi, Properties: {AccessLogSettings: {Format: x}}}}",
            "Resources.A.Properties.AccessLogSettings.DestinationArn: is required",
        ),
        (
            "Resources: {A: {Type: AWS::Serverless::HttpApi, Properties: {Domain: {DomainName: x}}}}",
            "Resources.A.Properties.Domain.CertificateArn: is required",
        ),
        (
            "Transform: AWS::Include\nResources: {}",
            "Transform: only AWS::Serverless-2016-10-31 is understood",
        ),
        ("Outputs: {}", "Resources: is required"),
        (
            "Resources: {A: {Type: AWS::S3::Bucket}}",
            "Resources.A: the type AWS::S3::Bucket is not understood",
        ),
        ("Resources: {A: {}}", "Resources.A: Type is required"),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, CreationPolicy: {}}}",
            "Resources.A.CreationPolicy: this is not understood",
        ),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, DependsOn: B}}",
            "Resources.A.DependsOn: refers to B, which does not exist",
        ),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {QueueName: b}}}",
            "Resources.A.Properties.QueueName: this property is not understood",
        ),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}}",
            "Resources.A.Properties.FifoQueue: this property is not understood",
        ),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: 901}}}",
            "Resources.A.Properties.DelaySeconds: 901 is not a whole number from 0 to 900",
        ),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: b, maxReceiveCount: 1}}}}",
            "Resources.A.Properties.RedrivePolicy: deadLetterTargetArn is no queue of the template",
        ),
        (
            "Resources: {A: {Type: AWS::DynamoDB::Table, Properties: {BillingMode: PROVISIONED}}}",
            "Resources.A.Properties.BillingMode: PROVISIONED is not understood (only PAY_PER_REQUEST)",
        ),
        (
            "Resources: {A: {Type: AWS::DynamoDB::Table, Properties: {BillingMode: PAY_PER_REQUEST}}}",
            "Resources.A.Properties.AttributeDefinitions: is required",
        ),
        (
            "Resources: {A: {Type: AWS::Serverless::HttpApi, Properties: {CorsConfiguration: true}}}",
            "Resources.A.Properties.CorsConfiguration: this property is not understood",
        ),
        (
            "Resources: {A: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: !Ref Days}}}",
            "Resources.A.Properties.RetentionInDays: refers to Days, which does not exist",
        ),
        ("Globals: {Api: {}}\nResources: {}", "Globals.Api: these globals are not understood"),
        (
            "Outputs: {O: {Value: !Ref X}}\nResources: {}",
            "Outputs.O.Value: refers to X, which does not exist",
        ),
        ("Conditions: {C: !Equals [1]}\nResources: {}", "Conditions.C: expected 2 arguments"),
        (
            "Conditions: {C: !Equals [1, 2]}\nResources: {A: {Type: AWS::SQS::Queue, Condition: C}}\nOutputs: {O: {Value: !Ref A}}",
            "Outputs.O.Value: refers to A, which does not exist",
        ),
    ] {
        let error = parse(text).map(|_| ()).unwrap_err();
        assert!(error.starts_with(expected), "{text}\n  expected {expected}\n  found    {error}");
    }
}

#[test]
fn two_functions_may_not_have_the_same_route() {
    let properties = "{Events: {E: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: /a}}}}";
    let metadata = "{BuildProperties: {Binary: f}}";
    let function =
        format!("{{Type: AWS::Serverless::Function, Metadata: {metadata}, Properties: {properties}}}");
    let text =
        format!("Resources: {{Api: {{Type: AWS::Serverless::HttpApi}}, F: {function}, G: {function}}}");
    assert_eq!(
        parse(&text).map(|_| ()),
        Err("Resources.G.Properties.Events: /a has the same route as F".to_owned())
    );
}

#[test]
fn globals_and_a_functions_properties_are_merged_as_by_sam() {
    let text = "
Globals:
  Function: {Timeout: 7, MemorySize: 512, Environment: {Variables: {A: global, B: global}}}
Resources:
  F:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: f}}
    Properties: {Timeout: 9, Environment: {Variables: {B: own}}}
";
    let template = parse(text).unwrap();
    let function = &template.functions["F"];
    assert_eq!((function.timeout, function.memory_mb), (Duration::from_secs(9), 512));
    assert_eq!((function.environment["A"].as_str(), function.environment["B"].as_str()), ("global", "own"));
}

#[test]
fn what_watches_the_bundle_is_read_where_its_condition_holds() {
    let text = "Parameters: {Mail: {Type: String, Default: ''}}\n\
                Conditions: {Told: !Not [!Equals [!Ref Mail, '']]}\n\
                Resources:\n\
                \x20 Q: {Type: AWS::SQS::Queue}\n\
                \x20 T: {Type: AWS::SNS::Topic, Condition: Told}\n\
                \x20 S: {Type: AWS::SNS::Subscription, Condition: Told, Properties: {TopicArn: !Ref T}}\n\
                \x20 A:\n    Type: AWS::CloudWatch::Alarm\n    Condition: Told\n\
                \x20   Properties: {Dimensions: [{Value: !GetAtt Q.QueueName}], AlarmActions: [!Ref T]}\n\
                \x20 L: {Type: AWS::Logs::QueryDefinition, Properties: {QueryString: x}}\n";
    let read = |mail: &str| {
        let given = BTreeMap::from([("Mail".to_owned(), mail.to_owned())]);
        Template::parse(text, &given, SQS).unwrap().watching
    };
    assert_eq!(read("").keys().collect::<Vec<_>>(), ["L"]);
    let watching = read("ops@example.com");
    assert_eq!(watching.keys().collect::<Vec<_>>(), ["A", "L", "S", "T"]);
    let alarm = &watching["A"];
    assert_eq!(alarm.kind, "AWS::CloudWatch::Alarm");
    assert_eq!(alarm.properties["Dimensions"][0]["Value"], "Q");
    assert_eq!(alarm.properties["AlarmActions"][0], "arn:aws:sns:us-east-1:000000000000:T");
    let unknown = parse("Resources: {A: {Type: AWS::CloudWatch::AnomalyDetector}}").unwrap_err();
    assert_eq!(unknown, "Resources.A: the type AWS::CloudWatch::AnomalyDetector is not understood");
}
