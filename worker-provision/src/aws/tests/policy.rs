//! The permissions that docs/providers/aws.md asks for are those that are used: all of them, and no other.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

const USED: &[&str] = &[
    "sts:AssumeRole",
    "ec2:DescribeRegions",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeImages",
    "ec2:DescribeVpcs",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeInstances",
    "ec2:CreateSecurityGroup",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:RunInstances",
    // Of the tags in the two requests that make something.
    "ec2:CreateTags",
    "ec2:StartInstances",
    "ec2:StopInstances",
    "ec2:RebootInstances",
    "ec2:ModifyInstanceAttribute",
    "ec2:TerminateInstances",
    "pricing:GetProducts",
    "route53:ListHostedZones",
    "route53:ListResourceRecordSets",
    "route53:ChangeResourceRecordSets",
];

/// The page's policies, in its order: trust, machines, names. Tests run in their package's folder.
fn policies() -> Vec<Value> {
    let page = fs::read_to_string("../docs/providers/aws.md").expect("the page");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|text| serde_json::from_str(text).expect("a policy")).collect()
}

fn statements(policy: &Value) -> Vec<&Value> {
    policy["Statement"].as_array().expect("statements").iter().collect()
}

fn actions(statement: &Value) -> Vec<&str> {
    match &statement["Action"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

#[test]
fn the_page_asks_for_what_is_used() {
    let policies = policies();
    let asked: BTreeSet<_> = policies.iter().flat_map(statements).flat_map(actions).collect();
    assert_eq!(asked, USED.iter().copied().collect());
}

#[test]
fn what_changes_something_is_tied_to_the_mark() {
    let policies = policies();
    let [trust, machines, _] = &policies[..] else { panic!("{} policies", policies.len()) };
    assert_eq!(trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], "<external-id>");
    let all = statements(machines);
    let tied = |condition: &str, action: &str| {
        let of_it = all.iter().filter(|s| actions(s).contains(&action));
        of_it.filter(|s| s["Condition"]["StringEquals"][condition] == "<install>").count()
    };
    for action in ["ec2:RunInstances", "ec2:CreateSecurityGroup"] {
        assert_eq!(tied("aws:RequestTag/byop:install", action), 1, "{action}");
    }
    const CHANGING: [&str; 6] = ["Start", "Stop", "Reboot", "Modify", "Terminate", "Authorize"];
    let changing = |action: &&&str| CHANGING.iter().any(|verb| action[4..].starts_with(verb));
    for action in USED.iter().filter(changing) {
        assert_eq!(tied("aws:ResourceTag/byop:install", action), 1, "{action}");
    }
}
